namespace Myelin.Inference.Runtimes;

/// <summary>Counts the calls of one runtime and knows when none is left. Safe for concurrent use.</summary>
internal sealed class RuntimeCounter
{
    private readonly Lock _lock = new();
    private TaskCompletionSource? _drained;
    private long _calls;
    private long _failures;
    private long _cancelled;
    private TimeSpan _compute;
    private int _running;
    private bool _closed;

    public RuntimeStatistics Statistics
    {
        get
        {
            lock (_lock)
            {
                return new RuntimeStatistics(_calls, _failures, _cancelled, _running, _compute);
            }
        }
    }

    /// <exception cref="ObjectDisposedException">The runtime drains or has ended.</exception>
    public void Begin()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(IRuntime));
            _running++;
        }
    }

    public void Succeeded(TimeSpan compute)
    {
        lock (_lock)
        {
            _calls++;
            _compute += compute;
            End();
        }
    }

    /// <summary>The call ended with <paramref name="fault"/>: cancelled where the caller asked for it, else failed.</summary>
    public void Ended(Exception fault, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (fault is OperationCanceledException && cancellationToken.IsCancellationRequested)
            {
                _cancelled++;
            }
            else
            {
                _failures++;
            }

            End();
        }
    }

    /// <summary>Refuses new calls; ends when the last one has.</summary>
    public Task DrainAsync()
    {
        lock (_lock)
        {
            _closed = true;
            if (_running == 0)
            {
                return Task.CompletedTask;
            }

            _drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _drained.Task;
        }
    }

    /// <summary>Called under the lock.</summary>
    private void End()
    {
        if (--_running == 0)
        {
            _drained?.TrySetResult();
        }
    }
}
