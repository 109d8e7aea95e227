using Myelin.Inference.Runtimes.Sidecars;

namespace Myelin.Serving.Models;

/// <summary>
/// The sidecars' place in the life of a worker: what a dead worker left is cleared away before models load, and a
/// shutdown waits until every process has ended. Registered before the watcher, so that it stops after it.
/// </summary>
internal sealed class SidecarService(SidecarSupervisor sidecars, SidecarInstruments instruments) : IHostedService
{
    public SidecarInstruments Instruments => instruments;

    public Task StartAsync(CancellationToken cancellationToken) => Task.Run(sidecars.Initialise, cancellationToken);

    public async Task StopAsync(CancellationToken cancellationToken) => await sidecars.DisposeAsync();
}
