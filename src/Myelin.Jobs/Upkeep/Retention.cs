using System.Collections.Immutable;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Upkeep;

/// <summary>Ended jobs past <see cref="JobsOptions.Retention"/> lose their contents; past <see cref="JobsOptions.Remember"/> they are unknown.</summary>
internal sealed partial class Retention(IJobStore store, IArtifacts artifacts, MyelinOptions options, TimeProvider time, ILogger<Retention> logger)
{
    private const int Batch = 500;

    /// <summary>Purged, their blobs not yet deleted: the store of blobs was away. No more are purged before.</summary>
    private ImmutableArray<string> _owed = [];

    public async Task PurgeAsync(CancellationToken cancellationToken)
    {
        await DeleteAsync(cancellationToken);
        ImmutableArray<PurgedJob> purged;
        do
        {
            purged = await store.PurgeAsync(time.GetUtcNow(), Batch, cancellationToken);
            _owed = [.. purged.Where(job => job.HasBlobs).Select(job => job.Id)];
            await DeleteAsync(cancellationToken);
        }
        while (purged.Length == Batch);
    }

    public async Task ForgetAsync(CancellationToken cancellationToken)
    {
        while (await store.ForgetAsync(time.GetUtcNow() - options.Jobs.Remember, Batch, cancellationToken) == Batch)
        {
        }
    }

    private async Task DeleteAsync(CancellationToken cancellationToken)
    {
        if (_owed.IsEmpty)
        {
            return;
        }

        try
        {
            await artifacts.DeleteAsync(_owed, cancellationToken);
        }
        catch (ArtifactsUndeletableException e)
        {
            LogKept(e.Message); // one blob stops nobody's retention: the sweep tries it again
        }

        _owed = [];
    }

    [LoggerMessage(LogLevel.Warning, "{Reason}; the hourly sweep tries again")]
    private partial void LogKept(string reason);
}
