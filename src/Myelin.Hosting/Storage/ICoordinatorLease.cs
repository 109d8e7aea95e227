namespace Myelin.Hosting.Storage;

internal enum CoordinatorHold
{
    /// <summary>Another process coordinates.</summary>
    Elsewhere,

    /// <summary>From now on this process does.</summary>
    Taken,

    /// <summary>As before, this process does.</summary>
    Kept,
}

/// <summary>
/// Which process looks after the jobs of a storage. Losing it is noticed late (a process may be paused at any point), so
/// the storage itself refuses upkeep of a coordinator that another one has followed: two of them are harmless.
/// </summary>
internal interface ICoordinatorLease
{
    /// <summary>True where no other process can use the storage: every lease of a job found at start is an old one.</summary>
    bool IsAlone { get; }

    /// <summary>Takes the lease when it is free, or keeps it; asked for at every round.</summary>
    ValueTask<CoordinatorHold> HoldAsync(CancellationToken cancellationToken);

    /// <summary>For how long the newest hold is surely this process's; without end where no other can take it.</summary>
    TimeSpan Remaining { get; }

    /// <summary>Lets go, so that another process takes over at once.</summary>
    ValueTask ReleaseAsync(CancellationToken cancellationToken);
}
