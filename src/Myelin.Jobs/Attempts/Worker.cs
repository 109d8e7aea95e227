using System.Collections.Concurrent;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Dispatch;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// Starts jobs as permits come free. A shutdown stops taking, waits for what runs as long as the drain may last, then
/// gives the rest back to the queue at no cost to the jobs.
/// </summary>
internal sealed partial class Worker(JobQueue queue, JobRunner runner, RunningJobs running, MyelinOptions options, IHostApplicationLifetime lifetime, TimeProvider time, ILogger<Worker> logger)
    : BackgroundService
{
    /// <summary>After the drain: enough to stop tasks and store their going back.</summary>
    private static readonly TimeSpan s_giveBack = TimeSpan.FromSeconds(3);

    /// <summary>Attempts in any phase per permit: those past their run write their outcome without one.</summary>
    private const int AttemptsPerPermit = 4;

    private readonly ConcurrentDictionary<Task, bool> _attempts = new();

    public int Concurrency { get; } = PermitsOf(options);

    /// <summary>Jobs that run at a time.</summary>
    public static int PermitsOf(MyelinOptions options) => options.Worker.Concurrency > 0 ? options.Worker.Concurrency : Environment.ProcessorCount;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Not disposed here: an abandoned task may give its permit back after the end.
        var permits = new SemaphoreSlim(Concurrency);
        var attempts = new SemaphoreSlim(Concurrency * AttemptsPerPermit);

        // From the first word on: the host comes here only when those before it have stopped.
        using var taking = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        try
        {
            while (true)
            {
                await attempts.WaitAsync(taking.Token);
                await permits.WaitAsync(taking.Token);
                var hint = await queue.TakeAsync(taking.Token);
                taking.Token.ThrowIfCancellationRequested();
                Track(runner.RunAsync(hint, () => permits.Release()), () => attempts.Release());
            }
        }
        catch (OperationCanceledException) when (taking.IsCancellationRequested)
        {
            await DrainAsync();
        }
    }

    private void Track(Task attempt, Action ended)
    {
        _attempts[attempt] = true;
        _ = attempt.ContinueWith(
            t =>
            {
                _attempts.TryRemove(t, out _);
                ended();
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    private async Task DrainAsync()
    {
        if (await EndedWithinAsync(options.Worker.DrainTimeout))
        {
            return;
        }

        LogGivingBack(running.Count);
        running.StopAll(StopReason.Shutdown);
        await EndedWithinAsync(s_giveBack);
    }

    private async Task<bool> EndedWithinAsync(TimeSpan timeout)
    {
        try
        {
            await Task.WhenAll(_attempts.Keys).WaitAsync(timeout, time, CancellationToken.None);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    [LoggerMessage(LogLevel.Information, "{Count} running jobs go back to the queue")]
    private partial void LogGivingBack(int count);
}
