using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// Tasks that did not heed their word to stop. Their jobs have ended; their permits come back when they return, if ever. A
/// worker that has lost half of its permits like that is not ready. One that has none left for five minutes together does
/// nothing any more, and ends, so that its supervisor starts it anew: nothing else gives back what they hold. Calls that
/// return late, as networks do that cannot be interrupted, end no process that still has a permit for others.
/// </summary>
internal sealed class AbandonedTasks : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private readonly Lock _gate = new();
    private readonly int _permits;
    private readonly FatalErrors _fatal;
    private readonly ITimer _timer;
    private int _count;

    public AbandonedTasks(MyelinOptions options, FatalErrors fatal, JobInstruments instruments, TimeProvider time)
    {
        (_permits, _fatal) = (Worker.PermitsOf(options), fatal);
        _timer = time.CreateTimer(_ => End(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        instruments.ObserveAbandoned(() => Volatile.Read(ref _count));
    }

    /// <summary>Why nothing should be sent here; null while enough permits are left.</summary>
    public string? Reason() => Volatile.Read(ref _count) is var count && count >= (_permits + 1) / 2
        ? $"{count} of {_permits} permits are held by tasks that do not heed their word to stop"
        : null;

    public void Add(Task call)
    {
        Change(1);
        _ = call.ContinueWith(_ => Change(-1), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    public void Dispose() => _timer.Dispose();

    private void Change(int by)
    {
        lock (_gate)
        {
            var before = _count;
            _count += by;
            if (before < _permits && _count >= _permits)
            {
                _timer.Change(s_patience, Timeout.InfiniteTimeSpan);
            }
            else if (before >= _permits && _count < _permits)
            {
                _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private void End()
    {
        if (Volatile.Read(ref _count) >= _permits && Reason() is { } reason)
        {
            _fatal.Report("worker", reason, fault: null);
        }
    }
}
