using Myelin.Server.Artifacts;
using Myelin.Server.Storage;

namespace Myelin.Server.Jobs.Upkeep;

/// <summary>Deletes blobs of jobs that are purged, or unknown and old enough. What is no job's is left alone.</summary>
internal sealed partial class OrphanSweep(IJobStore store, IArtifacts artifacts, TimeProvider time, ILogger<OrphanSweep> logger)
{
    private const int Page = 1000;

    /// <summary>Blobs are written before their row: younger ones may belong to a submission under way.</summary>
    private static readonly TimeSpan s_age = TimeSpan.FromHours(1);

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await foreach (var page in artifacts.ListJobsAsync(cancellationToken).Where(JobIds.IsValid).Chunk(Page).WithCancellation(cancellationToken))
        {
            var known = await store.FindPurgedAsync(page, cancellationToken);
            var old = time.GetUtcNow() - s_age;
            var gone = page.Where(id => known.TryGetValue(id, out var purged) ? purged : JobIds.Time(id) < old).ToList();
            await artifacts.DeleteAsync(gone, cancellationToken);
            if (gone.Count > 0)
            {
                LogSwept(gone.Count);
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "Blobs of {Count} jobs that are not known (any more) are deleted")]
    private partial void LogSwept(int count);
}
