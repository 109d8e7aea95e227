using System.Collections.Immutable;
using Myelin.Server.Configuration;
using Myelin.Server.Storage;

namespace Myelin.Server.Jobs.Upkeep;

/// <summary>Running jobs whose worker went away go back to the queue or end; queued ones past their deadline expire.</summary>
internal sealed partial class LeaseRecovery(
    IJobStore store, JobAnnouncer announcer, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<LeaseRecovery> logger)
{
    private const int Batch = 500;

    private readonly List<JobRecord> _takenBack = [];

    /// <summary>At the start of the only process of a storage: every lease is an old one. They are announced with the first round.</summary>
    public async Task TakeBackAllAsync(CancellationToken cancellationToken)
    {
        try
        {
            await RecoverAsync(
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
        await RecoverAsync(allLeases: false, job => announcer.ChangedAsync(job, cancellationToken), cancellationToken);
    }

    private async Task RecoverAsync(bool allLeases, Func<JobRecord, ValueTask> announce, CancellationToken cancellationToken)
    {
        var policy = new RecoveryPolicy { MaxAttempts = options.Jobs.MaxAttempts, AllLeases = allLeases };
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

    [LoggerMessage(LogLevel.Warning, "Job {Job}: attempt {Attempt} lost its worker; now {State}")]
    private partial void LogRecovered(string job, int attempt, JobState state);

    [LoggerMessage(LogLevel.Warning, "Old leases could not be taken back at start; they run out by themselves")]
    private partial void LogPutOff(Exception e);
}
