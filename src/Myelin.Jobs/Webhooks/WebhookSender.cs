using System.Threading.Channels;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Web;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Webhooks;

/// <summary>
/// Delivers what ended jobs owe their callbacks. The deliveries are rows that appear with the end of the job; this loop
/// takes those that are due, tries them side by side and notes the outcome. At least once: a crash between the answer
/// and its note sends again, under the same <c>webhook-id</c>. Receivers take turns, and each
/// has few of the places: one that hangs leaves the others theirs.
/// </summary>
internal sealed partial class WebhookSender(
    IWebhookStore store, WebhookPost post, JobEvents events, WebhookInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<WebhookSender> logger)
    : BackgroundService
{
    /// <summary>Deliveries under way at a time; a receiver that hangs keeps its places for one timeout.</summary>
    private const int AtOnce = 256;

    /// <summary>More would wait for a connection. The bus, which is no receiver of its own, has half of all places.</summary>
    internal const int OfOneReceiver = OutboundHttp.ConnectionsPerServer;
    private static readonly TimeSpan s_pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longestDelay = TimeSpan.FromHours(1);
    private static readonly TimeSpan s_longestBusDelay = TimeSpan.FromMinutes(1);

    /// <summary>A reason to look again: a job ended, or a place is free. One is enough.</summary>
    private readonly Channel<bool> _wakes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        events.Observed += Wake;
        try
        {
            var underWay = new List<(string Receiver, Task Task)>(AtOnce);
            var last = "";
            while (true)
            {
                underWay.RemoveAll(static d => d.Task.IsCompleted);
                if (underWay.Count == AtOnce)
                {
                    await Task.WhenAny(underWay.Select(static d => d.Task)).WaitAsync(stoppingToken);
                    continue;
                }

                (var due, last) = await TakeAsync(Turn(last, underWay.CountBy(static d => d.Receiver)), stoppingToken);
                underWay.AddRange(due.Select(d => (d.Receiver, DeliverAsync(d, stoppingToken))));
                if (due.IsEmpty)
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

    /// <summary>Null once the attempts are used up.</summary>
    internal static TimeSpan? Delay(WebhookOptions options, int attempt) =>
        attempt < options.MaxAttempts ? Backoff.After(options.RetryDelay, attempt, s_longestDelay) : null;

    /// <summary>What may be taken beside what is under way.</summary>
    private static WebhookTurn Turn(string last, IEnumerable<KeyValuePair<string, int>> underWay)
    {
        var room = new Dictionary<string, int> { [WebhookReceiver.None] = AtOnce / 2 };
        var free = AtOnce;
        foreach (var (receiver, count) in underWay)
        {
            free -= count;
            room[receiver] = Math.Max(room.GetValueOrDefault(receiver, OfOneReceiver) - count, 0);
        }

        return new WebhookTurn(last, free, OfOneReceiver, room);
    }

    private async Task<WebhooksTaken> TakeAsync(WebhookTurn turn, CancellationToken cancellationToken)
    {
        try
        {
            // Held for longer than an attempt can take: nobody else sends it meanwhile, and after a crash it is due again.
            var now = time.GetUtcNow();
            return await store.TakeDueAsync(now, now + options.Webhooks.Timeout + TimeSpan.FromSeconds(10), turn, cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            LogStore(logger, e);
            return new WebhooksTaken([], turn.After);
        }
    }

    private async Task DeliverAsync(WebhookDelivery delivery, CancellationToken cancellationToken)
    {
        try
        {
            var start = time.GetTimestamp();
            var result = await TryAsync(delivery, cancellationToken);
            var delay = result.Final ? null : Delay(options.Webhooks, delivery.Attempt) ?? (result.Endless ? s_longestBusDelay : null);
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
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Shutdown: due again when its hold is over.
        }
        catch (Exception e)
        {
            LogStore(logger, e); // its hold runs out, then it is due again
        }
        finally
        {
            _wakes.Writer.TryWrite(true);
        }
    }

    /// <summary>Whatever goes wrong with the attempt is its outcome, so that attempts end; what storage cannot say is none.</summary>
    private async Task<PostResult> TryAsync(WebhookDelivery delivery, CancellationToken cancellationToken)
    {
        try
        {
            return await post.SendAsync(delivery, cancellationToken);
        }
        catch (Exception e) when (e is not StorageException && !cancellationToken.IsCancellationRequested)
        {
            LogFailed(logger, delivery.Job, delivery.Attempt, e);
            return new PostResult($"{e.GetType().Name}: {e.Message}");
        }
    }

    private void Wake(JobSignal signal)
    {
        if (signal.Kind == JobSignalKind.End)
        {
            _wakes.Writer.TryWrite(true);
        }
    }

    private async Task PauseAsync(CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(s_pause, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            await _wakes.Reader.ReadAsync(either.Token);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // Time to look for retries.
        }
    }

    [LoggerMessage(LogLevel.Warning, "The webhook of job {job} is given up after {attempt} attempts: {reason}")]
    private static partial void LogGivenUp(ILogger logger, string job, int attempt, string reason);

    [LoggerMessage(LogLevel.Warning, "Attempt {attempt} to deliver the webhook of job {job} failed")]
    private static partial void LogFailed(ILogger logger, string job, int attempt, Exception e);

    [LoggerMessage(LogLevel.Warning, "The list of webhooks could not be read or written")]
    private static partial void LogStore(ILogger logger, Exception e);
}
