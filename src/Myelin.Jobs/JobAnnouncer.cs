using Myelin.Hosting.Bus;
using Myelin.Jobs.Store;

namespace Myelin.Jobs;

/// <summary>Tells the bus and the instruments what Storage has just made true. Whoever changes a job's state calls it once.</summary>
internal sealed class JobAnnouncer(IBus bus, JobInstruments instruments)
{
    /// <summary>A job was stored: workers may look. Nobody can watch it yet, so there is no event.</summary>
    public ValueTask AcceptedAsync(JobRecord job, CancellationToken cancellationToken) => bus.PublishHintAsync(JobHint.Of(job), cancellationToken);

    /// <summary>A job reached <see cref="JobRecord.State"/>. Said first, counted then: no count may keep an end from being heard.</summary>
    public async ValueTask ChangedAsync(JobRecord job, CancellationToken cancellationToken)
    {
        if (job.State == JobState.Queued)
        {
            // The hint goes first: the dispatcher has the job again before it hears that its key is free.
            await bus.PublishHintAsync(JobHint.Of(job), cancellationToken);
        }

        await bus.PublishSignalAsync(JobSignal.Of(job), cancellationToken);
        instruments.Changed(job);
    }
}
