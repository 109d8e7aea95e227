namespace Myelin.Jobs;

/// <summary>
/// The last that was heard of each of many things, such as running jobs. Signals may be lost, the last one too: an entry
/// goes once nothing was heard of it for <paramref name="longest"/>, and the longest unheard makes room for a new one.
/// Any thread; every call costs the same, however many there are.
/// </summary>
/// <param name="limit">Most entries.</param>
/// <param name="longest">From an entry's last signal to its end, at most.</param>
/// <param name="time">What that is measured by.</param>
/// <param name="gone">Told of every value that is dropped or replaced, under the lock; must be quick.</param>
internal sealed class LastHeard<T>(int limit, TimeSpan longest, TimeProvider time, Action<T>? gone = null)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, LinkedListNode<(string Name, T Value, long At)>> _nodes = new(StringComparer.Ordinal);

    /// <summary>The longest unheard first.</summary>
    private readonly LinkedList<(string Name, T Value, long At)> _order = [];

    public int Count
    {
        get
        {
            lock (_gate)
            {
                DropOld();
                return _nodes.Count;
            }
        }
    }

    public void Put(string name, T value)
    {
        lock (_gate)
        {
            DropOld();
            if (_nodes.TryGetValue(name, out var known))
            {
                Drop(known);
            }
            else if (_nodes.Count == limit)
            {
                Drop(_order.First!);
            }

            _nodes[name] = _order.AddLast((name, value, time.GetTimestamp()));
        }
    }

    public bool TryGet(string name, out T value)
    {
        lock (_gate)
        {
            DropOld();
            var found = _nodes.TryGetValue(name, out var node);
            value = found ? node!.Value.Value : default!;
            return found;
        }
    }

    public void Remove(string name)
    {
        lock (_gate)
        {
            if (_nodes.TryGetValue(name, out var node))
            {
                Drop(node);
            }
        }
    }

    /// <summary>Drops what is too old now; every other call does it too.</summary>
    public void Expire()
    {
        lock (_gate)
        {
            DropOld();
        }
    }

    private void DropOld()
    {
        while (_order.First is { } oldest && time.GetElapsedTime(oldest.Value.At) > longest)
        {
            Drop(oldest);
        }
    }

    private void Drop(LinkedListNode<(string Name, T Value, long At)> node)
    {
        _order.Remove(node);
        _nodes.Remove(node.Value.Name);
        gone?.Invoke(node.Value.Value);
    }
}
