namespace Myelin.Jobs;

/// <summary>
/// What waits for one watcher of a job. Progress replaces progress (the newest wins, the loss is counted); states and
/// the end are never lost. Written by the hub's loop, read by the watcher.
/// </summary>
internal sealed class JobSubscription
{
    /// <summary>More states than any job has attempts; a watcher that far behind gets the newest ones.</summary>
    private const int Limit = 256;

    private readonly Lock _gate = new();
    private readonly LinkedList<JobSignal> _waiting = [];
    private TaskCompletionSource _arrived = NewArrival();

    /// <summary>Progress that this watcher was too slow for.</summary>
    public long Coalesced { get; private set; }

    public void Offer(JobSignal signal)
    {
        TaskCompletionSource arrived;
        lock (_gate)
        {
            if (_waiting.Last is { Value.Kind: JobSignalKind.Progress })
            {
                _waiting.RemoveLast();
                Coalesced++;
            }

            if (_waiting.Count == Limit)
            {
                _waiting.RemoveFirst();
                Coalesced++;
            }

            _waiting.AddLast(signal);
            arrived = _arrived;
        }

        arrived.TrySetResult();
    }

    /// <summary>The next signal, or null after <paramref name="patience"/> without one.</summary>
    public async ValueTask<JobSignal?> NextAsync(TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        Task arrival;
        lock (_gate)
        {
            if (TryTake() is { } waiting)
            {
                return waiting;
            }

            _arrived = NewArrival();
            arrival = _arrived.Task;
        }

        try
        {
            await arrival.WaitAsync(patience, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return null;
        }

        lock (_gate)
        {
            return TryTake();
        }
    }

    private static TaskCompletionSource NewArrival() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private JobSignal? TryTake()
    {
        if (_waiting.First is not { } first)
        {
            return null;
        }

        _waiting.RemoveFirst();
        return first.Value;
    }
}
