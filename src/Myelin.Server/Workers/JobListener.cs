using System.Text.Json;
using Myelin.Server.Bus;
using Myelin.Server.Jobs;
using Myelin.Server.Jobs.Dispatch;
using Myelin.Server.Storage;

namespace Myelin.Server.Workers;

/// <summary>
/// A worker's ears: hints fill the <see cref="JobQueue"/>, signals keep it true, cancels reach running attempts. When
/// the queue knows of nothing, Storage is read every few seconds: a hint that was lost costs seconds, not the job.
/// </summary>
internal sealed partial class JobListener(
    IBus bus, IJobStore store, JobEvents events, JobQueue queue, RunningJobs running, TimeProvider time, ILogger<JobListener> logger) : BackgroundService
{
    private const string Group = "workers";
    private const int PageSize = 1000;
    private static readonly TimeSpan s_rescan = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource _listening = new();
    private IAsyncEnumerable<BusMessage>? _hints;
    private IAsyncEnumerable<BusMessage>? _controls;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        // Subscribed before the coordinator announces what waits.
        _hints = bus.SubscribeAsync(Topics.AllJobs, Group, _listening.Token);
        _controls = bus.SubscribeAsync(Topics.Control, group: null, _listening.Token);
        events.Observed += queue.Observe;
        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        events.Observed -= queue.Observe;
        await _listening.CancelAsync().ConfigureAwait(false);
        await base.StopAsync(cancellationToken).ConfigureAwait(false);
    }

    public override void Dispose()
    {
        _listening.Dispose();
        base.Dispose();
    }

    /// <summary>Makes every queued job of Storage known to the queue, as far as there is room.</summary>
    public async Task RescanAsync(CancellationToken cancellationToken)
    {
        queue.StartRescan();
        JobHint? last = null;
        while (true)
        {
            var page = await store.QueuedAsync(last, PageSize, cancellationToken).ConfigureAwait(false);
            foreach (var hint in page)
            {
                if (!queue.Offer(hint))
                {
                    return;
                }
            }

            if (page.Length < PageSize)
            {
                return;
            }

            last = page[^1];
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await Task.WhenAll(
                HearAsync(_hints!, message => queue.Offer(JsonSerializer.Deserialize(message.Payload.Span, JobsJson.Default.JobHint)!), stoppingToken),
                HearAsync(_controls!, Obey, stoppingToken),
                RescanLoopAsync(stoppingToken)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested || _listening.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    private void Obey(BusMessage message) =>
        running.Stop(JsonSerializer.Deserialize(message.Payload.Span, JobsJson.Default.JobControl)!.Cancel, StopReason.Cancelled);

    private async Task HearAsync(IAsyncEnumerable<BusMessage> messages, Action<BusMessage> act, CancellationToken cancellationToken)
    {
        await foreach (var message in messages.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            try
            {
                act(message);
            }
            catch (JsonException e)
            {
                LogUnreadable(message.Topic, e);
            }
        }
    }

    private async Task RescanLoopAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(s_rescan, time);
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            try
            {
                if (queue.NeedsRescan)
                {
                    await RescanAsync(cancellationToken).ConfigureAwait(false);
                }
            }
            catch (StorageException e)
            {
                LogRescan(e);
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "A message on {Topic} is unreadable; ignored")]
    private partial void LogUnreadable(string topic, Exception e);

    [LoggerMessage(LogLevel.Warning, "Queued jobs could not be read; the next look tries again")]
    private partial void LogRescan(Exception e);
}
