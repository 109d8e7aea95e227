namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>Counts the calls of one pool over all its lives. Safe for concurrent use.</summary>
internal sealed class SidecarTally
{
    private long _succeeded;
    private long _failed;
    private long _cancelled;
    private long _retried;
    private long _wait;
    private long _call;

    public void Waited(TimeSpan time) => Interlocked.Add(ref _wait, time.Ticks);

    public void Succeeded(TimeSpan call)
    {
        Interlocked.Increment(ref _succeeded);
        Interlocked.Add(ref _call, call.Ticks);
    }

    public void Ended(Exception fault, CancellationToken cancellationToken) =>
        Interlocked.Increment(ref fault is OperationCanceledException && cancellationToken.IsCancellationRequested ? ref _cancelled : ref _failed);

    public void Retried() => Interlocked.Increment(ref _retried);

    public SidecarCounters Counters(TimeSpan compute, long restarts, long ringBytes, long ringUsed) => new(
        Volatile.Read(ref _succeeded),
        Volatile.Read(ref _failed),
        Volatile.Read(ref _cancelled),
        Volatile.Read(ref _retried),
        restarts,
        TimeSpan.FromTicks(Volatile.Read(ref _wait)),
        TimeSpan.FromTicks(Volatile.Read(ref _call)),
        compute,
        ringBytes,
        ringUsed);
}
