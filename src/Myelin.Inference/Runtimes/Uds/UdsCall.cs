using System.Threading.Tasks.Sources;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// One call of a connection, open until the sidecar has answered it, which may be later than its caller has gone.
/// Owner: the connection's table; <see cref="_told"/> decides which of answer, patience and loss the caller hears.
/// </summary>
internal sealed class UdsCall(OutgoingMessage message, CallProgress? progress, long started) : IValueTaskSource<UdsAnswer>
{
    // Continuations go to the pool: callers' code must not run on the thread that reads the connection.
    private ManualResetValueTaskSourceCore<UdsAnswer> _source = new() { RunContinuationsAsynchronously = true };
    private int _told;
    private UdsAnswer _answer;
    private Exception? _fault;

    public OutgoingMessage Message { get; } = message;

    /// <summary>The answer while its DATA comes.</summary>
    public IncomingMessage? Answer { get; set; }

    public CallProgress? Progress { get; } = progress;

    /// <summary>Timestamp of the begin.</summary>
    public long Started { get; } = started;

    /// <summary>Timestamp of the cancel, 0 before.</summary>
    public long CancelledAt { get; set; }

    public CancellationToken CancellationToken { get; set; }

    public ValueTask<UdsAnswer> Task => new(this, _source.Version);

    /// <returns>False where the caller has gone: the answer is still the giver's.</returns>
    public bool TryTell(UdsAnswer answer)
    {
        if (Interlocked.Exchange(ref _told, 1) != 0)
        {
            return false;
        }

        _answer = answer;
        Tell();
        return true;
    }

    public void TryTell(Exception fault)
    {
        if (Interlocked.Exchange(ref _told, 1) == 0)
        {
            _fault = fault;
            Tell();
        }
    }

    /// <summary>Lets the caller go on.</summary>
    public void Complete()
    {
        if (_fault is null)
        {
            _source.SetResult(_answer);
        }
        else
        {
            _source.SetException(_fault);
        }
    }

    UdsAnswer IValueTaskSource<UdsAnswer>.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<UdsAnswer>.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource<UdsAnswer>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);

    /// <summary>After the last progress has been delivered: a caller that has its answer hears nothing more.</summary>
    private void Tell()
    {
        if (Progress is null)
        {
            Complete();
        }
        else
        {
            Progress.End(this);
        }
    }
}

/// <summary>What came back.</summary>
internal readonly record struct UdsAnswer(TensorSet Outputs, TimeSpan Compute);

/// <summary>
/// Delivers one call's progress in order, one at a time, on the pool: the receiver's code must not hold up the thread that
/// reads the connection. A receiver that is slow loses the oldest.
/// </summary>
internal sealed class CallProgress(IProgress<RuntimeProgress> receiver) : IThreadPoolWorkItem
{
    private const int Most = 64;

    private readonly Lock _lock = new();
    private readonly Queue<RuntimeProgress> _waiting = new();
    private UdsCall? _end;
    private bool _running;

    public void Add(RuntimeProgress progress)
    {
        lock (_lock)
        {
            if (_waiting.Count == Most)
            {
                _waiting.Dequeue();
            }

            _waiting.Enqueue(progress);
            Run();
        }
    }

    public void End(UdsCall then)
    {
        lock (_lock)
        {
            _end = then;
            Run();
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        while (true)
        {
            RuntimeProgress? progress;
            UdsCall? end = null;
            lock (_lock)
            {
                if (!_waiting.TryDequeue(out progress))
                {
                    (_running, end, _end) = (false, _end, null);
                }
            }

            if (progress is null)
            {
                end?.Complete();
                return;
            }

            try
            {
                receiver.Report(progress);
            }
            catch (Exception)
            {
                // The receiver's own fault; the call it watches goes on.
            }
        }
    }

    private void Run()
    {
        if (!_running)
        {
            _running = true;
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }
}
