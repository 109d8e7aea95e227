using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Testing;
using Shouldly;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>The sidecar protocol over a Unix socket. The connection is shared, as a worker shares it.</summary>
public abstract class UdsTransport : ProcessTransport
{
    private readonly SemaphoreSlim _connecting = new(1);
    private readonly DirectoryInfo _rings = Directory.CreateDirectory($"/dev/shm/myelin-test-{Guid.NewGuid():N}"); // its own: others make rings at the same time
    private UdsConnection? _connection;

    protected abstract bool SharesMemory { get; }

    public override async Task<IRuntime> OpenAsync(string model, params TensorSpec[] takes) => (await ConnectionAsync()).Open(model);

    public override string WorkerKind => SharesMemory ? "ring" : "inline";

    /// <summary>With a small ring: there are many such connections.</summary>
    public override async Task<IRuntime> ConnectAsync(string address, string model) =>
        await UdsRuntime.ConnectAsync(Options(address) with { Model = model, InputRingBytes = 2 << 20, OutputRingBytes = 2 << 20 }, CancellationToken.None);

    public UdsOptions Options(string address) => new()
    {
        SocketPath = Parse(address).Path!,
        SharedMemory = SharesMemory,
        RingFolder = _rings.FullName,
        ConnectTimeout = TimeSpan.FromSeconds(30),
    };

    /// <summary>Nothing in use on this side, nothing on the other, no file left.</summary>
    public override async Task CheckAsync()
    {
        if (_connection is not { } connection)
        {
            return;
        }

        Directory.GetFiles(_rings.FullName).ShouldBeEmpty("a ring has a name only until the sidecar has mapped it");
        await Wait.UntilAsync(() => RingsOfTheSidecar() <= (SharesMemory ? 1 : 0), "the sidecar lets go of the ring of a worker that is gone");
        if (connection.Arena is { } arena)
        {
            await Wait.UntilAsync(() => arena.Places == 0, "places of the worker's part are free");
            await OutputsAreFreeAsync(connection);
        }
    }

    public override async ValueTask DisposeAsync()
    {
        if (_connection is not null)
        {
            await _connection.DisposeAsync();
        }

        _rings.Delete(recursive: true);
        GC.SuppressFinalize(this);
        await base.DisposeAsync();
    }

    protected override string MakeAddress(string socket) => "unix:" + socket;

    private int RingsOfTheSidecar() => File.ReadLines($"/proc/{Process.Id}/maps").Count(line => line.Contains("myelin-ring-", StringComparison.Ordinal));

    /// <summary>An answer as large as the sidecar's part of the ring lies in the ring only where all of it is free.</summary>
    private static async Task OutputsAreFreeAsync(UdsConnection connection)
    {
        var big = connection.Open("big");
        using var size = Tensors.Int64("bytes", connection.Ring!.Layout.Outputs.Bytes);
        await Wait.UntilAsync(async () => // a cancelled call may still be on its way to notice
        {
            using var outputs = await big.InferAsync([size], CancellationToken.None);
            return System.Runtime.InteropServices.MemoryMarshal.TryGetMemoryManager<byte, RingView>(outputs.Single().Bytes, out _);
        }, "places of the sidecar's part are free");
    }

    private async Task<UdsConnection> ConnectionAsync()
    {
        await _connecting.WaitAsync();
        try
        {
            return _connection ??= await UdsConnection.ConnectAsync(Options(Address), null, CancellationToken.None);
        }
        finally
        {
            _connecting.Release();
        }
    }
}
