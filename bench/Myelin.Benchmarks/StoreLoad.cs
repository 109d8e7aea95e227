using System.Collections.Concurrent;
using System.Diagnostics;
using Myelin.Jobs;
using Myelin.Jobs.Store;

namespace Myelin.Benchmarks;

/// <summary>Callers that each wait for one answer before they ask again.</summary>
internal static class StoreLoad
{
    /// <summary>Durable inserts for <paramref name="duration"/>.</summary>
    public static async Task<(IReadOnlyCollection<string> Ids, double Seconds)> InsertAsync(IJobStore store, int callers, TimeSpan duration)
    {
        var ids = new JobIds(TimeProvider.System);
        var parameters = """{"threshold":0.35,"annotate":true}"""u8.ToArray();
        var inserted = new ConcurrentBag<string>();
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(async () =>
        {
            while (clock.Elapsed < duration)
            {
                var job = new JobRecord { Id = ids.Next(), Tenant = "local", Model = "faces", CreatedAt = TimeProvider.System.GetUtcNow(), Parameters = parameters };
                await store.InsertAsync(job, [], int.MaxValue, CancellationToken.None);
                inserted.Add(job.Id);
            }
        })));
        return (inserted, clock.Elapsed.TotalSeconds);
    }

    /// <summary>Claims of queued jobs for <paramref name="duration"/>, or until there are no more.</summary>
    public static async Task<double> ClaimsPerSecondAsync(IJobStore store, IReadOnlyCollection<string> ids, int callers, TimeSpan duration)
    {
        var waiting = new ConcurrentQueue<string>(ids);
        var claimed = 0;
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(async () =>
        {
            while (clock.Elapsed < duration && waiting.TryDequeue(out var id))
            {
                var now = TimeProvider.System.GetUtcNow();
                var claim = await store.ClaimAsync(id, new JobLease("bench", id, now.AddMinutes(1)), now, CancellationToken.None);
                Interlocked.Add(ref claimed, claim.Status == ClaimStatus.Claimed ? 1 : 0);
            }
        })));
        return claimed / clock.Elapsed.TotalSeconds;
    }
}
