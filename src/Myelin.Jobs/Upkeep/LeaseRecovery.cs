using System.Collections.Immutable;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Work;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Upkeep;

/// <summary>Running jobs whose worker went away go back to the queue or end; queued ones past their deadline expire.</summary>
internal sealed partial class LeaseRecovery(
    IJobStore store, JobAnnouncer announcer, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<LeaseRecovery> logger)
{
    private const int Batch = 500;

    /// <summary>Leases watched at a time, far above what workers hold; later ones come into view as these end.</summary>
    private const int Watched = 100_000;

    private readonly LeaseWatch _watch = new(time, options.Jobs.CoordinatorInterval / 2, options.Worker.Lease);
    private readonly List<JobRecord> _takenBack = [];

    /// <summary>Twice as often as the other duties: a lapse is told by two looks, the one that first saw the value and the one that saw it long enough.</summary>
    public TimeSpan Interval => _watch.Interval;

    /// <summary>At the start of the only process of a storage: every lease is an old one. They are announced with the first round.</summary>
    public async Task TakeBackAllAsync(CancellationToken cancellationToken)
    {
        try
        {
            await RecoverAsync(
                [],
                allLeases: true,
                job =>
                {
                    _takenBack.Add(job);
                    return ValueTask.CompletedTask;
                },
                cancellationToken);
        }
        catch (StorageException e)
        {
            // A full disk must not keep the server down: the old leases run out by themselves.
            LogPutOff(e);
        }
    }

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        foreach (var job in _takenBack)
        {
            await announcer.ChangedAsync(job, cancellationToken);
        }

        _takenBack.Clear();
        var asked = time.GetTimestamp();
        var lapsed = _watch.Look(asked, await store.LeasesAsync(Watched, cancellationToken));
        await RecoverAsync(lapsed, allLeases: false, job => announcer.ChangedAsync(job, cancellationToken), cancellationToken);
    }

    private async Task RecoverAsync(ImmutableArray<HeldLease> lapsed, bool allLeases, Func<JobRecord, ValueTask> announce, CancellationToken cancellationToken)
    {
        var policy = new RecoveryPolicy { MaxAttempts = options.Jobs.MaxAttempts, AllLeases = allLeases };
        ImmutableArray<JobRecord> changed;
        do
        {
            changed = await store.RecoverAsync([.. lapsed.Take(Batch)], time.GetUtcNow(), policy, Batch, cancellationToken);
            lapsed = [.. lapsed.Skip(Batch)];
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
        while (changed.Length >= Batch || lapsed.Length > 0);
    }

    [LoggerMessage(LogLevel.Warning, "Job {Job}: attempt {Attempt} has heard nothing from its worker for the length of its lease; now {State}")]
    private partial void LogRecovered(string job, int attempt, JobState state);

    [LoggerMessage(LogLevel.Warning, "Old leases could not be taken back at start; they run out by themselves")]
    private partial void LogPutOff(Exception e);
}
