namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>The lock of the data folder has decided already: the process that holds it coordinates.</summary>
internal sealed class SoleCoordinator : ICoordinatorLease
{
    private bool _taken;

    public bool IsAlone => true;

    public TimeSpan Remaining => Timeout.InfiniteTimeSpan;

    public ValueTask<CoordinatorHold> HoldAsync(CancellationToken cancellationToken)
    {
        var hold = _taken ? CoordinatorHold.Kept : CoordinatorHold.Taken;
        _taken = true;
        return new(hold);
    }

    public ValueTask ReleaseAsync(CancellationToken cancellationToken) => default;
}
