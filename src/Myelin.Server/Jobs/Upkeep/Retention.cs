using System.Collections.Immutable;
using Myelin.Server.Artifacts;
using Myelin.Server.Configuration;
using Myelin.Server.Storage;

namespace Myelin.Server.Jobs.Upkeep;

/// <summary>Ended jobs past <see cref="JobsOptions.Retention"/> lose their contents; past <see cref="JobsOptions.Remember"/> they are unknown.</summary>
internal sealed class Retention(IJobStore store, IArtifacts artifacts, MyelinOptions options, TimeProvider time)
{
    private const int Batch = 500;

    public async Task PurgeAsync(CancellationToken cancellationToken)
    {
        ImmutableArray<string> purged;
        do
        {
            purged = await store.PurgeAsync(time.GetUtcNow(), Batch, cancellationToken);
            foreach (var job in purged)
            {
                await artifacts.DeleteAsync(job, cancellationToken);
            }
        }
        while (purged.Length == Batch);
    }

    public async Task ForgetAsync(CancellationToken cancellationToken)
    {
        while (await store.ForgetAsync(time.GetUtcNow() - options.Jobs.Remember, Batch, cancellationToken) == Batch)
        {
        }
    }
}
