using System.Collections.Concurrent;

namespace Myelin.Server.Storage.Sqlite;

/// <summary>
/// Queued jobs by model and class, kept by the only writer inside its transactions and undone with them. Read by
/// anyone at any time; written on the writer's thread.
/// </summary>
internal sealed class QueueDepths
{
    private readonly ConcurrentDictionary<string, int[]> _depths = new(StringComparer.Ordinal);
    private readonly List<(string Model, JobPriority Priority, int Change)> _uncommitted = [];

    public int Of(string model) => _depths.TryGetValue(model, out var depths) ? Sum(depths, JobPriority.Low) : 0;

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

    /// <summary>Counts what the database holds; before the writer starts.</summary>
    public void Rebuild(SqliteSession session)
    {
        _depths.Clear();
        using var rows = session.Prepare("SELECT model, priority, count(*) FROM jobs WHERE state = 0 GROUP BY model, priority");
        while (rows.Step())
        {
            Apply(rows.Text(0), (JobPriority)rows.Int32(1), rows.Int32(2));
        }
    }

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
