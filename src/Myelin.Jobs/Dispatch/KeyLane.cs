namespace Myelin.Jobs.Dispatch;

/// <summary>
/// Jobs of one tenant and key: only the earliest one known is offered, the others are parked. Whether it may run is
/// decided in Storage; the lane only keeps the dispatcher from asking in vain.
/// </summary>
internal sealed class KeyLane((string Tenant, string Key) name)
{
    public (string Tenant, string Key) Name { get; } = name;

    public SortedSet<QueueEntry> Parked { get; } = new(QueueEntry.ByAcceptance);

    /// <summary>The one that is ready, delayed or taken.</summary>
    public QueueEntry? Front { get; set; }

    /// <summary>A job of this key runs, here or elsewhere; the front waits for its end or for a look at the clock.</summary>
    public bool Busy { get; set; }

    /// <summary>The job that runs, where it is known: only its end frees the lane, not the late word of an earlier one's.</summary>
    public string? Runner { get; set; }

    public bool LookScheduled { get; set; }
}
