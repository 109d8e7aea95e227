using System.Collections.Concurrent;

namespace Myelin.Jobs.Store;

/// <summary>
/// Queued jobs by model and class: changed by the only writer inside its transactions and undone with them, or replaced
/// by what a shared database counts. Read by anyone at any time; written by the storage's writer.
/// </summary>
internal sealed class QueueDepths
{
    private volatile ConcurrentDictionary<string, int[]> _depths = NewDepths();
    private readonly List<(string Model, JobPriority Priority, int Change)> _uncommitted = [];

    public int Of(string model) => _depths.TryGetValue(model, out var depths) ? Sum(depths, JobPriority.Low) : 0;

    /// <summary>Queued jobs of this class.</summary>
    public int Of(string model, JobPriority priority) => Ahead(model, priority) - Better(model, priority);

    /// <summary>Queued jobs of better classes.</summary>
    public int Better(string model, JobPriority priority) => priority == JobPriority.High ? 0 : Ahead(model, priority - 1);

    /// <summary>Queued jobs of this class and better ones.</summary>
    public int Ahead(string model, JobPriority priority) => _depths.TryGetValue(model, out var depths) ? Sum(depths, priority) : 0;

    public IReadOnlyDictionary<string, int> All() =>
        _depths.Select(d => (d.Key, Count: Sum(d.Value, JobPriority.Low))).Where(d => d.Count > 0).ToDictionary(d => d.Key, d => d.Count);

    public void Change(string model, JobPriority priority, int change)
    {
        Apply(model, priority, change);
        _uncommitted.Add((model, priority, change));
    }

    public void Commit() => _uncommitted.Clear();

    public void Rollback()
    {
        foreach (var (model, priority, change) in _uncommitted)
        {
            Apply(model, priority, -change);
        }

        _uncommitted.Clear();
    }

    /// <summary>Takes over what the database has counted; a model that is not among the counts has no queue.</summary>
    public void Replace(IEnumerable<(string Model, JobPriority Priority, int Count)> counts)
    {
        var depths = NewDepths();
        foreach (var (model, priority, count) in counts)
        {
            depths.GetOrAdd(model, static _ => new int[3])[(int)priority] = count;
        }

        _depths = depths;
    }

    private static ConcurrentDictionary<string, int[]> NewDepths() => new(concurrencyLevel: 1, capacity: 31, StringComparer.Ordinal);

    private static int Sum(int[] depths, JobPriority upTo)
    {
        var sum = 0;
        for (var i = 0; i <= (int)upTo; i++)
        {
            sum += Volatile.Read(ref depths[i]);
        }

        return sum;
    }

    private void Apply(string model, JobPriority priority, int change) =>
        Interlocked.Add(ref _depths.GetOrAdd(model, static _ => new int[3])[(int)priority], change);
}
