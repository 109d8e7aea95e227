using System.Collections.Concurrent;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs;

/// <summary>
/// Whether a tenant's next job of a model would be refused. Free while the queue has room; where it has none, what the
/// tenant holds is counted, and a refusal stands for <see cref="s_stands"/>, so that a flood of refused submissions does not
/// read the database. The store decides in the end. Any thread.
/// </summary>
internal sealed class QueueRoom(IJobStore store, MyelinOptions options, TimeProvider time)
{
    private const int MostRefusals = 10_000;
    private static readonly TimeSpan s_stands = TimeSpan.FromMilliseconds(500);

    private readonly ConcurrentDictionary<(string Tenant, string Model), long> _refused = new();

    public async ValueTask<bool> IsFullAsync(string tenant, string model, CancellationToken cancellationToken)
    {
        var limit = options.Jobs.QueueLimit;
        if (store.QueueDepth(model) < limit)
        {
            return false;
        }

        if (_refused.TryGetValue((tenant, model), out var at) && time.GetElapsedTime(at) < s_stands)
        {
            return true;
        }

        var share = QueueShare.Of(limit);
        if (await store.CountQueuedAsync(tenant, model, share, cancellationToken) < share)
        {
            return false;
        }

        if (_refused.Count >= MostRefusals)
        {
            _refused.Clear();
        }

        _refused[(tenant, model)] = time.GetTimestamp();
        return true;
    }
}
