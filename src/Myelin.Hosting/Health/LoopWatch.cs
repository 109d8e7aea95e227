namespace Myelin.Hosting.Health;

/// <summary>
/// The one way loops are run: each is a <see cref="BackgroundService"/>, tries again what may pass, and lets anything else
/// out. A loop that ends before the process is told to stop is fatal, whatever the reason.
/// </summary>
internal sealed class LoopWatch(IServiceProvider services, FatalErrors fatal) : IHostedLifecycleService
{
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        // Asked for here: in the constructor the list would be waiting for this very service.
        foreach (var loop in services.GetServices<IHostedService>().OfType<BackgroundService>())
        {
            if (loop.ExecuteTask is { } task)
            {
                fatal.Watch(loop.GetType().Name, task);
            }
        }

        return Task.CompletedTask;
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
