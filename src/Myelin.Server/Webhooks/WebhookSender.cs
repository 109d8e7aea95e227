using Myelin.Server.Configuration;
using Myelin.Server.Jobs;
using Myelin.Server.Storage;

namespace Myelin.Server.Webhooks;

/// <summary>
/// Delivers what ended jobs owe their callbacks. The deliveries are rows that appear with the end of the job; this loop
/// takes those that are due, tries them side by side and notes the outcome. At least once: a crash between the answer
/// and its note sends again, under the same <c>webhook-id</c>.
/// </summary>
internal sealed partial class WebhookSender(
    IWebhookStore store, WebhookPost post, JobEvents events, WebhookInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<WebhookSender> logger)
    : BackgroundService
{
    /// <summary>Deliveries under way at a time; a receiver that hangs keeps its place for one timeout.</summary>
    private const int AtOnce = 64;
    private static readonly TimeSpan s_pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longestDelay = TimeSpan.FromHours(1);
    private static readonly TimeSpan s_longestBusDelay = TimeSpan.FromMinutes(1);

    private readonly SemaphoreSlim _ended = new(0, 1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        events.Observed += Wake;
        try
        {
            var underWay = new List<Task>(AtOnce);
            while (true)
            {
                underWay.RemoveAll(static task => task.IsCompleted);
                if (underWay.Count == AtOnce)
                {
                    await Task.WhenAny(underWay).WaitAsync(stoppingToken);
                    continue;
                }

                var due = await TakeAsync(AtOnce - underWay.Count, stoppingToken);
                underWay.AddRange(due.Select(d => DeliverAsync(d, stoppingToken)));
                if (due.Length == 0)
                {
                    await PauseAsync(stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown.
        }
        finally
        {
            events.Observed -= Wake;
        }
    }

    public override void Dispose()
    {
        _ended.Dispose();
        base.Dispose();
    }

    /// <summary>Doubles from the first back-off, a quarter of jitter either way; null once the attempts are used up.</summary>
    internal static TimeSpan? Delay(WebhookOptions options, int attempt, double random)
    {
        if (attempt >= options.MaxAttempts)
        {
            return null;
        }

        var delay = options.RetryDelay * Math.Pow(2, Math.Min(attempt - 1, 30)) * (0.75 + (random / 2));
        return delay < s_longestDelay ? delay : s_longestDelay;
    }

    private async Task<WebhookDelivery[]> TakeAsync(int limit, CancellationToken cancellationToken)
    {
        try
        {
            // Held for longer than an attempt can take: nobody else sends it meanwhile, and after a crash it is due again.
            var now = time.GetUtcNow();
            return [.. await store.TakeDueAsync(now, now + options.Webhooks.Timeout + TimeSpan.FromSeconds(10), limit, cancellationToken)];
        }
        catch (IOException e)
        {
            LogStore(logger, e.Message);
            return [];
        }
    }

    private async Task DeliverAsync(WebhookDelivery delivery, CancellationToken cancellationToken)
    {
        try
        {
            var start = time.GetTimestamp();
            var result = await post.SendAsync(delivery, cancellationToken);
            var delay = result.Final ? null : Delay(options.Webhooks, delivery.Attempt, Random.Shared.NextDouble()) ?? (result.Endless ? s_longestBusDelay : null);
            instruments.Tried(
                result.Error is null ? DeliveryOutcome.Delivered : delay is null ? DeliveryOutcome.GivenUp : DeliveryOutcome.Failed, time.GetElapsedTime(start));
            if (result.Error is not { } error)
            {
                await store.DeliveredAsync(delivery.Id, CancellationToken.None);
                return;
            }

            await store.FailedAsync(delivery.Id, delay is { } wait ? time.GetUtcNow() + wait : null, error, CancellationToken.None);
            if (delay is null)
            {
                LogGivenUp(logger, delivery.Job, delivery.Attempt, error);
            }
        }
        catch (IOException e)
        {
            LogStore(logger, e.Message); // its hold runs out, then it is due again
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Shutdown: due again when its hold is over.
        }
    }

    private void Wake(JobSignal signal)
    {
        if (signal.Kind == JobSignalKind.End && _ended.CurrentCount == 0)
        {
            try
            {
                _ended.Release();
            }
            catch (SemaphoreFullException)
            {
                // Another signal was quicker; one wake is enough.
            }
        }
    }

    private async Task PauseAsync(CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(s_pause, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            await _ended.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // Time to look for retries.
        }
    }

    [LoggerMessage(LogLevel.Warning, "The webhook of job {job} is given up after {attempt} attempts: {reason}")]
    private static partial void LogGivenUp(ILogger logger, string job, int attempt, string reason);

    [LoggerMessage(LogLevel.Warning, "The list of webhooks could not be read or written: {reason}")]
    private static partial void LogStore(ILogger logger, string reason);
}
