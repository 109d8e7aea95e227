using System.Collections.Immutable;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Upkeep;

/// <summary>
/// Announces queued jobs again that nobody started: the hint may have been dropped while a broker was away, or died with
/// the process that was to send it. A job's turns come at growing ages (1, 2, 4 and 8 times
/// <see cref="JobsOptions.AnnounceAfter"/>, then every eighth): a long queue is no reason to repeat all of it all the
/// time. Stateless but for the last look, so the next coordinator goes on. Only for a bus between processes.
/// </summary>
internal sealed partial class QueueSweep(IJobStore store, IBus bus, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<QueueSweep> logger)
{
    private const int Batch = 2000;

    private DateTimeOffset? _looked;

    /// <summary>Every job that waits: the bus may have forgotten all of it with the process before.</summary>
    public async Task AnnounceAllAsync(CancellationToken cancellationToken)
    {
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

    /// <summary>Looks when it is time to; the first look of a coordinator follows its announcing of everything.</summary>
    /// <returns>Jobs announced.</returns>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        if ((!bus.Retains && options.Topology == Topology.Alone) || now - (_looked ??= now) < options.Jobs.AnnounceAfter / 2)
        {
            return 0;
        }

        var before = _looked.Value;
        var announced = 0;
        JobHint? last = null;
        ImmutableArray<JobHint> page;
        do
        {
            page = await store.QueuedAsync(last, Batch, cancellationToken);
            foreach (var hint in page)
            {
                last = hint;
                var since = Waiting(hint);
                if (Turns(now - since) > Turns(before - since))
                {
                    await bus.PublishHintAsync(hint, cancellationToken);
                    announced++;
                }
            }
        }
        while (page.Length == Batch);

        _looked = now;
        if (announced > 0)
        {
            instruments.AnnouncedAgain(announced);
            LogAnnounced(announced);
        }

        return announced;
    }

    /// <summary>From when on the job could have been started.</summary>
    private static DateTimeOffset Waiting(JobHint hint)
    {
        var accepted = JobIds.Time(hint.Id);
        return hint.NotBefore > accepted ? hint.NotBefore.Value : accepted;
    }

    /// <summary>How often a job of this age should have been announced after the first time.</summary>
    private int Turns(TimeSpan age)
    {
        var units = age / options.Jobs.AnnounceAfter;
        return units switch
        {
            < 1 => 0,
            < 8 => 1 + (int)Math.Log2(units),
            _ => 3 + (int)(units / 8),
        };
    }

    [LoggerMessage(LogLevel.Information, "{Count} queued jobs are announced again")]
    private partial void LogAnnounced(int count);
}
