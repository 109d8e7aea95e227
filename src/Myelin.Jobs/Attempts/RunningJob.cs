namespace Myelin.Jobs.Attempts;

/// <summary>
/// An attempt on this worker, from just before its claim until its outcome is stored. Told to stop by any thread; the
/// task's token is cancelled, and when the task does not heed it within the grace it is abandoned: its job ends, its
/// permit comes back when it really returns.
/// </summary>
internal sealed class RunningJob(string id, string token, TimeProvider time) : IDisposable
{
    /// <summary>What is left of the second within which a cancel shows.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromMilliseconds(600);

    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _abandon = new(Timeout.InfiniteTimeSpan, time);
    private readonly Lock _gate = new();
    private bool _disposed;

    public string Id { get; } = id;

    /// <summary>The lease's token.</summary>
    public string LeaseToken { get; } = token;

    /// <summary>As claimed, or as it came back after its lease had lapsed; null until the claim is stored.</summary>
    public JobRecord? Record { get; set; }

    public StopReason Reason { get; private set; }

    /// <summary>Cancelled with <see cref="Reason"/>; what the task gets.</summary>
    public CancellationToken Stopping => _stop.Token;

    /// <summary>Cancelled when nobody waits for the task any longer.</summary>
    public CancellationToken Abandoned => _abandon.Token;

    public void Stop(StopReason reason)
    {
        lock (_gate)
        {
            if (_disposed || Reason != StopReason.None)
            {
                return;
            }

            Reason = reason;
            _abandon.CancelAfter(s_grace);
        }

        // Outside the lock, and not on the caller's thread: callbacks are the task's own code.
        _ = _stop.CancelAsync();
    }

    public void Dispose()
    {
        lock (_gate)
        {
            // _stop lives on: an abandoned task still looks at its token.
            _disposed = true;
            _abandon.Dispose();
        }
    }
}
