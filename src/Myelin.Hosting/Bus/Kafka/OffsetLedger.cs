namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// Messages of one partition that were read and are not done with. What is done in any order becomes a position below
/// which everything is done: what the group stores. Settled from any thread; closed when the partition goes.
/// </summary>
/// <param name="store">Takes the next offset that the group would need again.</param>
internal sealed class OffsetLedger(Action<long> store)
{
    /// <summary>Open messages that are remembered; beyond that the oldest counts as done: its row is announced again.</summary>
    private const int Limit = 500_000;

    private readonly Lock _gate = new();
    private readonly Queue<long> _open = new();
    private readonly HashSet<long> _done = [];
    private long _next = -1;

    public bool IsClosed { get; private set; }

    /// <summary>First offset that is not done with; -1 before the first message.</summary>
    public long Position
    {
        get
        {
            lock (_gate)
            {
                return _open.TryPeek(out var oldest) ? oldest : _next;
            }
        }
    }

    /// <summary>The offset after the last one delivered; -1 before the first message.</summary>
    public long Next => Volatile.Read(ref _next);

    public void Deliver(long offset)
    {
        lock (_gate)
        {
            _open.Enqueue(offset);
            _next = offset + 1;
            if (_open.Count > Limit)
            {
                _done.Add(_open.Peek());
                Advance();
            }
        }
    }

    public void Settle(long offset)
    {
        lock (_gate)
        {
            if (!IsClosed && _open.Count > 0 && offset >= _open.Peek() && _done.Add(offset))
            {
                Advance();
            }
        }
    }

    /// <summary>The partition is somebody else's from now on.</summary>
    public void Close()
    {
        lock (_gate)
        {
            IsClosed = true;
        }
    }

    private void Advance()
    {
        var moved = false;
        while (_open.TryPeek(out var oldest) && _done.Remove(oldest))
        {
            _open.Dequeue();
            moved = true;
        }

        if (moved)
        {
            store(_open.TryPeek(out var first) ? first : _next);
        }
    }
}
