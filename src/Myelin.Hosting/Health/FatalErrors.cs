namespace Myelin.Hosting.Health;

/// <summary>
/// What the process cannot go on without and lost: a loop that ended, the writer of its storage, all of its permits. The
/// reason is logged, the process is no longer ready and stops in order, with a status that has its supervisor start it again.
/// </summary>
internal sealed partial class FatalErrors(IHostApplicationLifetime lifetime, ILogger<FatalErrors> logger)
{
    private string? _first;

    /// <summary>What failed first; null while all is well.</summary>
    public string? First => Volatile.Read(ref _first);

    /// <summary>Reports <paramref name="part"/> when its task ends, by a fault or by itself, before the process is told to stop.</summary>
    public void Watch(string part, Task task) => _ = WatchAsync(part, task, endIsFault: true);

    /// <summary>The same for a task that ends without a fault only when it is closed, also in a process that was never started.</summary>
    public void WatchForFault(string part, Task task) => _ = WatchAsync(part, task, endIsFault: false);

    public void Report(string part, string reason, Exception? fault)
    {
        LogFatal(part, reason, fault);
        Interlocked.CompareExchange(ref _first, $"{part}: {reason}", null);
        lifetime.StopApplication();
    }

    private async Task WatchAsync(string part, Task task, bool endIsFault)
    {
        Exception? fault = null;
        try
        {
            await task;
        }
        catch (Exception e)
        {
            fault = e;
        }

        if (fault is null && !endIsFault)
        {
            return;
        }

        if (!lifetime.ApplicationStopping.IsCancellationRequested)
        {
            Report(part, fault is null ? "ended by itself" : $"ended: {fault.Message}", fault);
        }
        else if (fault is not null and not OperationCanceledException)
        {
            LogAtTheEnd(part, fault);
        }
    }

    [LoggerMessage(LogLevel.Critical, "{Part} {Reason}; the process cannot go on without it and stops")]
    private partial void LogFatal(string part, string reason, Exception? fault);

    [LoggerMessage(LogLevel.Warning, "{Part} failed while the process stopped")]
    private partial void LogAtTheEnd(string part, Exception fault);
}
