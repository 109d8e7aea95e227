using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// Extends the leases of all running attempts in one write, three times per lease. Learns from it which attempts are no
/// longer ours and which were cancelled (in case the message on the bus was lost). One whose lease lapsed while this
/// process was paused goes on where nobody has taken its job. Runs on during a drain.
/// </summary>
internal sealed partial class Heartbeat(IJobStore store, RunningJobs running, IBus bus, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<Heartbeat> logger)
    : BackgroundService
{
    public async Task BeatAsync(CancellationToken cancellationToken)
    {
        var leases = running.Leases();
        if (leases.Count == 0)
        {
            return;
        }

        var beat = await store.HeartbeatAsync(leases, time.GetUtcNow() + options.Worker.Lease, cancellationToken);
        var (lost, cancelled) = (beat.Lost.ToHashSet(StringComparer.Ordinal), beat.CancelRequested.ToHashSet(StringComparer.Ordinal));

        // The answer is about these tokens: by now the job may run here once more, under another.
        foreach (var (id, token) in leases)
        {
            if (lost.Contains(id))
            {
                await ReturnAsync(id, token, cancellationToken);
            }
            else if (cancelled.Contains(id))
            {
                running.Stop(id, token, StopReason.Cancelled);
            }
        }
    }

    private async Task ReturnAsync(string id, string token, CancellationToken cancellationToken)
    {
        if (running.Find(id, token) is not { Record: { } attempt } job)
        {
            return;
        }

        if (await store.ReturnAsync(attempt, time.GetUtcNow() + options.Worker.Lease, cancellationToken) is { } back)
        {
            job.Record = back;
            instruments.LeaseResumed(back.Model);
            LogReturned(id, back.Attempt);
            await bus.PublishSignalAsync(JobSignal.Of(back), cancellationToken);
        }
        else
        {
            job.Stop(StopReason.LeaseLost);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.Worker.Lease / 3, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await BeatAsync(stoppingToken);
                }
                catch (Exception e) when (e is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
                {
                    LogMissed(e);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    [LoggerMessage(LogLevel.Information, "Job {Job}: this process was silent for longer than its lease; nobody took the job, attempt {Attempt} goes on")]
    private partial void LogReturned(string job, int attempt);

    [LoggerMessage(LogLevel.Warning, "A heartbeat could not be stored; the next one tries again")]
    private partial void LogMissed(Exception e);
}
