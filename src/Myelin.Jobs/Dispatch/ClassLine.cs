namespace Myelin.Jobs.Dispatch;

/// <summary>
/// Ready jobs of one priority class: tenants take turns, within a tenant models take turns, within a model the order of
/// acceptance holds. Every step costs the logarithm of the longest line.
/// </summary>
internal sealed class ClassLine(int weight)
{
    private readonly TurnRing<string, TurnRing<string, SortedSet<QueueEntry>>> _tenants = new();

    public int Weight { get; } = weight;

    /// <summary>Credit of the smooth weighted round robin.</summary>
    public int Credit { get; set; }

    public int Count { get; private set; }

    public void Add(QueueEntry entry)
    {
        _tenants.GetOrAdd(entry.Hint.Tenant, static () => new()).GetOrAdd(entry.Hint.Model, static () => new(QueueEntry.ByAcceptance)).Add(entry);
        Count++;
    }

    public QueueEntry Take()
    {
        var entry = _tenants.Next().Next().Min!;
        Remove(entry);
        return entry;
    }

    public void Remove(QueueEntry entry)
    {
        var models = _tenants.Find(entry.Hint.Tenant)!;
        var line = models.Find(entry.Hint.Model)!;
        line.Remove(entry);
        Count--;
        if (line.Count == 0)
        {
            models.Remove(entry.Hint.Model);
        }

        if (models.Count == 0)
        {
            _tenants.Remove(entry.Hint.Tenant);
        }
    }
}

/// <summary>Named things that take turns; one that comes back starts at the end.</summary>
internal sealed class TurnRing<TName, TItem> where TName : notnull where TItem : class
{
    private readonly Dictionary<TName, LinkedListNode<TItem>> _nodes = [];
    private readonly LinkedList<TItem> _turns = [];

    public int Count => _nodes.Count;

    public TItem? Find(TName name) => _nodes.TryGetValue(name, out var node) ? node.Value : null;

    public TItem GetOrAdd(TName name, Func<TItem> make)
    {
        if (!_nodes.TryGetValue(name, out var node))
        {
            node = _turns.AddLast(make());
            _nodes.Add(name, node);
        }

        return node.Value;
    }

    /// <summary>Whose turn it is; then it is at the end. Not for an empty ring.</summary>
    public TItem Next()
    {
        var node = _turns.First!;
        _turns.RemoveFirst();
        _turns.AddLast(node);
        return node.Value;
    }

    public void Remove(TName name)
    {
        if (_nodes.Remove(name, out var node))
        {
            _turns.Remove(node);
        }
    }
}
