using System.Collections.Immutable;
using Myelin.Jobs;
using Myelin.Jobs.Store;

namespace Myelin.Tests.Storage;

internal static class Recovery
{
    /// <summary>Recovery by a judge to whom a lease lapses at the time it names.</summary>
    public static async ValueTask<ImmutableArray<JobRecord>> RecoverAsync(
        this IJobStore store, DateTimeOffset now, RecoveryPolicy policy, int limit, CancellationToken cancellationToken)
    {
        var held = await store.LeasesAsync(100_000, cancellationToken);
        return await store.RecoverAsync([.. held.Where(l => l.Until <= now)], now, policy, limit, cancellationToken);
    }
}
