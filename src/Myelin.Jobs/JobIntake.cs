namespace Myelin.Jobs;

/// <summary>Refuses submissions from the first moment of a shutdown; what was accepted is finished or kept.</summary>
internal sealed class JobIntake(JobService jobs, IHostApplicationLifetime lifetime) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lifetime.ApplicationStopping.Register(jobs.Close);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
