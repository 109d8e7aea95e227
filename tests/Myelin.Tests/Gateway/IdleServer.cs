using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Gateway;

/// <summary>One server without a worker for a class of tests: what it accepts stays queued.</summary>
public sealed class IdleServer : IAsyncLifetime
{
    internal RunningServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await RunningServer.StartAsync(worker: false);

    public ValueTask DisposeAsync() => Server.DisposeAsync();
}
