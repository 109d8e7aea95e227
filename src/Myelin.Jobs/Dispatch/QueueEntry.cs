using Myelin.Jobs.Store;

namespace Myelin.Jobs.Dispatch;

internal enum QueuePlace
{
    /// <summary>In its class's lines: may be taken.</summary>
    Ready,

    /// <summary>Its back-off has not passed.</summary>
    Delayed,

    /// <summary>Behind another job of its key.</summary>
    Parked,

    /// <summary>Given to a worker that has not said yet what became of it.</summary>
    Taken,
}

/// <summary>A job in the dispatcher's memory. Guarded by the queue's lock.</summary>
/// <param name="settle">Told once, when the queue has no more to do with the job.</param>
internal sealed class QueueEntry(JobHint hint, Action? settle)
{
    public static IComparer<QueueEntry> ByAcceptance { get; } = Comparer<QueueEntry>.Create(static (a, b) =>
        a.Hint.Sequence != b.Hint.Sequence ? a.Hint.Sequence.CompareTo(b.Hint.Sequence) : string.CompareOrdinal(a.Hint.Id, b.Hint.Id));

    public JobHint Hint { get; } = hint;

    public QueuePlace Place { get; set; }

    /// <summary>Counts moves: tells a timer set for an earlier place from one that still holds.</summary>
    public int Moves { get; set; }

    public DateTimeOffset? NotBefore { get; set; } = hint.NotBefore;

    public KeyLane? Lane { get; set; }

    public void Settle() => settle?.Invoke();
}
