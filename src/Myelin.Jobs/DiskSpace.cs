using Myelin.Hosting.Configuration;

namespace Myelin.Jobs;

/// <summary>Whether the data disk has room for another submission; looked up at most once a second.</summary>
internal sealed class DiskSpace(MyelinOptions options, TimeProvider time)
{
    private static readonly TimeSpan s_fresh = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private long _lookedAt;
    private bool _low;

    public bool IsLow()
    {
        lock (_gate)
        {
            if (_lookedAt == 0 || time.GetElapsedTime(_lookedAt) >= s_fresh)
            {
                _lookedAt = time.GetTimestamp();
                _low = Free() < options.Jobs.MinimumFreeBytes;
            }

            return _low;
        }
    }

    /// <summary>Why nothing should be sent here; null while there is room.</summary>
    public string? Reason() => IsLow() ? $"{Free()} bytes are free in {options.Data}, {options.Jobs.MinimumFreeBytes} are needed (jobs.minimumFreeBytes)" : null;

    /// <summary>Forgets the last look: a write has just failed for lack of space.</summary>
    public void Recheck()
    {
        lock (_gate)
        {
            _lookedAt = 0;
        }
    }

    /// <summary>A process whose database and blobs are elsewhere has no data folder, and no disk to fill.</summary>
    private long Free() => Path.GetFullPath(options.Data) is var folder && Directory.Exists(folder) ? new DriveInfo(folder).AvailableFreeSpace : long.MaxValue;
}
