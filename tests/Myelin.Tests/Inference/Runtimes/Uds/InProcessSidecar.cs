using Myelin.Inference.Runtimes.Uds;
using Myelin.Sidecar;
using Myelin.Sidecar.Uds;
using Myelin.Testing;
using Myelin.TestSidecar;
using Shouldly;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>The .NET listener in this process, so that a test sees its counters too.</summary>
internal sealed class InProcessSidecar : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateDirectory($"/dev/shm/myelin-test-{Guid.NewGuid():N}");

    private InProcessSidecar(UdsListenerOptions options) => Listener = new UdsListener(Path.Combine(_folder.FullName, "s.sock"), options);

    public UdsListener Listener { get; }

    public UdsOptions Options => new() { SocketPath = Path.Combine(_folder.FullName, "s.sock"), RingFolder = _folder.FullName };

    public static async Task<InProcessSidecar> StartAsync(UdsListenerOptions? options = null, bool ready = true)
    {
        var sidecar = new InProcessSidecar(options ?? new UdsListenerOptions());
        await sidecar.Listener.StartAsync(CancellationToken.None);
        if (ready)
        {
            sidecar.Ready();
        }

        return sidecar;
    }

    public void Ready() => Listener.Ready([.. ConformanceModels.Create().Select(model => new ServedModel(model))]);

    public Task<UdsConnection> ConnectAsync(Func<UdsOptions, UdsOptions>? with = null) =>
        UdsConnection.ConnectAsync(with is null ? Options : with(Options), null, CancellationToken.None);

    /// <summary>Both sides have let go of everything that calls use.</summary>
    public async Task ShouldHoldNothingAsync(UdsConnection connection)
    {
        await Wait.UntilAsync(() => connection.Arena is not { Places: > 0 });
        await Wait.UntilAsync(() => Listener.Sessions.All(session => session is { Running: 0, Held: 0 }));
        await Wait.UntilAsync(() => Listener.Sessions.All(session => session.Arena is not { Places: > 0 }));
    }

    /// <summary>No connection, no mapping, no file.</summary>
    public async Task ShouldBeAloneAsync()
    {
        await Wait.UntilAsync(() => Listener.Sessions.Count == 0);
        await Wait.UntilAsync(() => !File.ReadAllText("/proc/self/maps").Contains(_folder.Name, StringComparison.Ordinal));
        Directory.GetFiles(_folder.FullName, "myelin-ring-*").ShouldBeEmpty();
    }

    public async ValueTask DisposeAsync()
    {
        await Listener.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
