using Myelin.Server.Artifacts;
using Myelin.Server.Storage;

namespace Myelin.Server.Jobs.Upkeep;

/// <summary>Deletes blobs of jobs that are unknown or purged, once they are old enough.</summary>
internal sealed partial class OrphanSweep(IJobStore store, IArtifacts artifacts, TimeProvider time, ILogger<OrphanSweep> logger)
{
    /// <summary>Blobs are written before their row: younger ones may belong to a submission under way.</summary>
    private static readonly TimeSpan s_age = TimeSpan.FromHours(1);

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await foreach (var (job, created) in artifacts.ListJobsAsync(cancellationToken))
        {
            if (time.GetUtcNow() - created > s_age && await store.GetAsync(job, cancellationToken) is null or { Purged: true })
            {
                await artifacts.DeleteAsync(job, cancellationToken);
                LogOrphan(job);
            }
        }
    }

    [LoggerMessage(LogLevel.Debug, "Blobs of job {Job} had no row; deleted")]
    private partial void LogOrphan(string job);
}
