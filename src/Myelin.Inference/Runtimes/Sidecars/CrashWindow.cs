namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>When to start again after a failure, and when not to any more. Used by one loop.</summary>
internal sealed class CrashWindow(SidecarOptions options, TimeProvider time)
{
    private readonly Queue<long> _crashes = new();
    private int _failedStarts;
    private int _inARow;

    /// <summary>It could not be started.</summary>
    /// <returns>The pause before the next try, or null: give up.</returns>
    public TimeSpan? StartFailed() => ++_failedStarts >= options.MaxCrashes ? null : Pause();

    /// <summary>It was ready, and ended by itself.</summary>
    /// <param name="lived">How long it was ready: what lived longer than the window has made good for earlier failures.</param>
    /// <returns>The pause before the next try, or null: give up.</returns>
    public TimeSpan? Crashed(TimeSpan lived)
    {
        _failedStarts = 0;
        _inARow = lived > options.CrashWindow ? 0 : _inARow;
        _crashes.Enqueue(time.GetTimestamp());
        while (time.GetElapsedTime(_crashes.Peek()) > options.CrashWindow)
        {
            _crashes.Dequeue();
        }

        return _crashes.Count >= options.MaxCrashes ? null : Pause();
    }

    private TimeSpan Pause() => Backoff.After(options.RestartDelay, ++_inARow, options.MaxRestartDelay);
}
