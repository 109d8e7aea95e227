using Myelin.Inference.Runtimes.Uds;
using Myelin.Sidecar;
using Myelin.Sidecar.Uds;
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
        await EventuallyAsync(() => connection.Arena is not { Places: > 0 }, "places of inputs are in use");
        await EventuallyAsync(() => Listener.Sessions.All(session => session is { Running: 0, Held: 0 }), "calls are open or answers held");
        await EventuallyAsync(() => Listener.Sessions.All(session => session.Arena is not { Places: > 0 }), "places of outputs are in use");
    }

    /// <summary>No connection, no mapping, no file.</summary>
    public async Task ShouldBeAloneAsync()
    {
        await EventuallyAsync(() => Listener.Sessions.Count == 0, "sessions are left");
        await EventuallyAsync(() => !File.ReadAllText("/proc/self/maps").Contains(_folder.Name, StringComparison.Ordinal), "a ring is mapped");
        Directory.GetFiles(_folder.FullName, "myelin-ring-*").ShouldBeEmpty();
    }

    public static async Task EventuallyAsync(Func<bool> condition, string otherwise)
    {
        for (var attempt = 0; !condition(); attempt++)
        {
            (attempt < 1000).ShouldBeTrue(otherwise);
            await Task.Delay(10);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Listener.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
