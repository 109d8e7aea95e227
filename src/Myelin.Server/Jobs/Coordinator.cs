using System.Collections.Immutable;
using Myelin.Server.Artifacts;
using Myelin.Server.Bus;
using Myelin.Server.Configuration;
using Myelin.Server.Storage;

namespace Myelin.Server.Jobs;

/// <summary>
/// The upkeep of jobs, on one loop, in the one process that holds the storage's lease; the others wait for it to fall
/// free. Where the storage has one owner, every lease at start is an old one of a process that is gone: all are recovered
/// before any worker starts. Whoever takes over announces every queued job again; then, at each interval, lost leases,
/// deadlines, retention; once an hour, blobs without a row. A failed round is logged and tried again at the next.
/// </summary>
internal sealed partial class Coordinator(
    IJobStore store, ICoordinatorLease lease, IArtifacts artifacts, IBus bus, JobAnnouncer announcer, QueueSweep queue, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<Coordinator> logger)
    : BackgroundService, IHostedLifecycleService
{
    private const int Batch = 500;
    private static readonly TimeSpan s_sweep = TimeSpan.FromHours(1);

    /// <summary>Blobs are written before their row: younger ones may belong to a submission under way.</summary>
    private static readonly TimeSpan s_orphanAge = TimeSpan.FromHours(1);

    private readonly List<JobRecord> _recovered = [];
    private bool _announced;

    /// <summary>Before any worker of this process starts, and where no other process can have one: every lease is an old one.</summary>
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        if (!lease.IsAlone)
        {
            return;
        }

        try
        {
            await RecoverAsync(
                allLeases: true,
                job =>
                {
                    _recovered.Add(job);
                    return ValueTask.CompletedTask;
                },
                cancellationToken);
        }
        catch (StorageException e)
        {
            // A full disk must not keep the server down: the old leases run out by themselves.
            LogRecoveryPutOff(e);
        }
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>One round, if this process coordinates or now may.</summary>
    public async Task RoundAsync(CancellationToken cancellationToken)
    {
        var hold = await lease.HoldAsync(cancellationToken);
        instruments.Coordinates(hold != CoordinatorHold.Elsewhere);
        if (hold == CoordinatorHold.Elsewhere)
        {
            _announced = false;
            return;
        }

        if (hold == CoordinatorHold.Taken)
        {
            LogTaken();
            _announced = false;
        }

        if (!_announced)
        {
            await RepublishAsync(cancellationToken);
            _announced = true;
        }

        await RunOnceAsync(cancellationToken);
        await queue.RunAsync(cancellationToken);
    }

    /// <summary>One round of upkeep.</summary>
    public async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        await RecoverAsync(allLeases: false, job => announcer.ChangedAsync(job, cancellationToken), cancellationToken);
        await PurgeAsync(cancellationToken);
        while (await store.ForgetAsync(time.GetUtcNow() - options.Jobs.Remember, Batch, cancellationToken) == Batch)
        {
        }
    }

    /// <summary>Deletes blobs of jobs that are unknown or purged, once they are old enough.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await foreach (var (job, created) in artifacts.ListJobsAsync(cancellationToken))
        {
            if (time.GetUtcNow() - created > s_orphanAge && await store.GetAsync(job, cancellationToken) is null or { Purged: true })
            {
                await artifacts.DeleteAsync(job, cancellationToken);
                LogOrphan(job);
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await AttemptAsync(RoundAsync, stoppingToken);
            using var timer = new PeriodicTimer(options.Jobs.CoordinatorInterval, time);
            var swept = time.GetTimestamp();
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await AttemptAsync(RoundAsync, stoppingToken);
                if (_announced && time.GetElapsedTime(swept) >= s_sweep)
                {
                    swept = time.GetTimestamp();
                    await AttemptAsync(SweepAsync, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown.
        }
        finally
        {
            await AttemptAsync(async token => await lease.ReleaseAsync(token), CancellationToken.None);
        }
    }

    private async Task AttemptAsync(Func<CancellationToken, Task> round, CancellationToken cancellationToken)
    {
        try
        {
            await round(cancellationToken);
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            LogFailed(e);
        }
    }

    /// <summary>What the start found, and every job that waits: the bus forgot all of it with the process before.</summary>
    private async Task RepublishAsync(CancellationToken cancellationToken)
    {
        foreach (var job in _recovered)
        {
            await announcer.ChangedAsync(job, cancellationToken);
        }

        _recovered.Clear();
        JobHint? last = null;
        ImmutableArray<JobHint> page;
        do
        {
            page = await store.QueuedAsync(last, Batch, cancellationToken);
            foreach (var hint in page)
            {
                await bus.PublishHintAsync(hint, cancellationToken);
                last = hint;
            }
        }
        while (page.Length == Batch);
    }

    private async Task RecoverAsync(bool allLeases, Func<JobRecord, ValueTask> announce, CancellationToken cancellationToken)
    {
        var policy = new RecoveryPolicy { MaxAttempts = options.Jobs.MaxAttempts, Retention = options.Jobs.Retention, AllLeases = allLeases };
        ImmutableArray<JobRecord> changed;
        do
        {
            changed = await store.RecoverAsync(time.GetUtcNow(), policy, Batch, cancellationToken);
            foreach (var job in changed)
            {
                if (job.State != JobState.Expired)
                {
                    instruments.LeaseLost(job.Model);
                    LogRecovered(job.Id, job.Attempt, job.State);
                }

                await announce(job);
            }
        }
        while (changed.Length >= Batch);
    }

    private async Task PurgeAsync(CancellationToken cancellationToken)
    {
        ImmutableArray<string> purged;
        do
        {
            purged = await store.PurgeAsync(time.GetUtcNow(), Batch, cancellationToken);
            foreach (var job in purged)
            {
                await artifacts.DeleteAsync(job, cancellationToken);
            }
        }
        while (purged.Length == Batch);
    }

    [LoggerMessage(LogLevel.Warning, "Job {Job}: attempt {Attempt} lost its worker; now {State}")]
    private partial void LogRecovered(string job, int attempt, JobState state);

    [LoggerMessage(LogLevel.Information, "This process coordinates from now on")]
    private partial void LogTaken();

    [LoggerMessage(LogLevel.Debug, "Blobs of job {Job} had no row; deleted")]
    private partial void LogOrphan(string job);

    [LoggerMessage(LogLevel.Warning, "Old leases could not be taken back at start; they run out by themselves")]
    private partial void LogRecoveryPutOff(Exception e);

    [LoggerMessage(LogLevel.Error, "A round of upkeep failed; the next one tries again")]
    private partial void LogFailed(Exception e);
}
