using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Upkeep;

/// <summary>
/// Deletes what crashes left in the store of blobs: those of purged jobs, and of jobs that no row is of. It must not take
/// what is not ours, nor what a database restored from a backup has forgotten. So it touches job ids only, only where the
/// mark is this database's own and as its last sweep left it (<see cref="BlobOwnership"/>), and what has no row only once
/// it is older than the retention of a job that was accepted then and ended at once.
/// </summary>
internal sealed partial class OrphanSweep(
    IJobStore store, IArtifacts artifacts, BlobOwnership ownership, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<OrphanSweep> logger)
{
    /// <summary>Ids looked up, and deleted, at a time.</summary>
    public const int Page = 1000;

    /// <summary>Blobs are written before their row: younger ones may belong to a submission under way.</summary>
    public static readonly TimeSpan UnderWay = TimeSpan.FromHours(1);

    /// <summary>What was logged last: once, not at every sweep.</summary>
    private Ownership _found = Ownership.Own;

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var (found, database) = await ownership.TakeAsync(cancellationToken);
        if (found == Ownership.Superseded)
        {
            return;
        }

        Tell(found, database);
        if (found == Ownership.Own)
        {
            await DeleteAsync(cancellationToken);
        }
    }

    private async Task DeleteAsync(CancellationToken cancellationToken)
    {
        var (strangers, kept) = (0, 0);
        await foreach (var page in artifacts.ListJobsAsync(cancellationToken).Chunk(Page).WithCancellation(cancellationToken))
        {
            var ids = page.Where(JobIds.IsValid).ToList();
            strangers += page.Length - ids.Count;
            var known = await store.FindPurgedAsync(ids, cancellationToken);
            var before = time.GetUtcNow() - options.Jobs.Retention - UnderWay;
            var gone = ids.FindAll(id => known.TryGetValue(id, out var purged) ? purged : JobIds.Time(id) < before);
            var left = await DeleteAsync(gone, cancellationToken);
            kept += left;
            if (gone.Count > left)
            {
                instruments.Swept(gone.Count - left);
                LogSwept(gone.Count - left);
            }
        }

        instruments.NotSwept(strangers + kept);
    }

    /// <returns>Jobs whose blobs cannot be deleted: they keep nobody else's.</returns>
    private async Task<int> DeleteAsync(List<string> jobs, CancellationToken cancellationToken)
    {
        try
        {
            await artifacts.DeleteAsync(jobs, cancellationToken);
            return 0;
        }
        catch (ArtifactsUndeletableException e)
        {
            LogKept(e.Message);
            return e.Count;
        }
    }

    private void Tell(Ownership found, string database)
    {
        instruments.SweepLooked(found);
        if (found == _found)
        {
            return;
        }

        _found = found;
        switch (found)
        {
            case Ownership.Foreign:
                LogForeign(artifacts.MarkPlace, database);
                break;
            case Ownership.Unmarked:
                LogUnmarked(artifacts.MarkPlace, database);
                break;
            case Ownership.Restored:
                LogRestored(artifacts.MarkPlace, database);
                break;
        }
    }

    [LoggerMessage(LogLevel.Information, "Blobs of {Count} jobs that are not known (any more) are deleted")]
    private partial void LogSwept(int count);

    [LoggerMessage(LogLevel.Warning, "{Reason}; the next sweep tries again")]
    private partial void LogKept(string reason);

    [LoggerMessage(LogLevel.Warning, "Nothing is swept: {Mark} says that the blobs beside it are another database's, whose sweep will take ours for its orphans. Give this one a place of its own (artifacts.s3.prefix); if that database is no more, write this one's id into the mark: {Database}")]
    private partial void LogForeign(string mark, string database);

    [LoggerMessage(LogLevel.Warning, "Nothing is swept: there is no mark {Mark}, and beside it are blobs of jobs that this database does not know. If all of them are its own, write its id into the mark: {Database}")]
    private partial void LogUnmarked(string mark, string database);

    [LoggerMessage(LogLevel.Warning, "Nothing is swept: the mark {Mark} is not the one that this database left: it was restored from a backup, or copied. If no blob of jobs that it does not know is wanted any more, write its id alone into the mark: {Database}")]
    private partial void LogRestored(string mark, string database);
}
