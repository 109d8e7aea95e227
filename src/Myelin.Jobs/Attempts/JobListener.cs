using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Jobs.Dispatch;
using Myelin.Jobs.Store;
using Myelin.Serving.Admission;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// What a worker listens to: hints fill the <see cref="JobQueue"/>, signals keep it true, cancels reach running attempts. When
/// the queue knows of nothing, Storage is read every few seconds: a hint that was lost costs seconds, not the job. Each
/// class has a subscription of its own, so that a heap of low ones on the bus never stands before a high one; a hint is
/// done with when its job was claimed or is gone, so that those of a dead worker go to the others.
/// </summary>
internal sealed partial class JobListener(
    IBus bus, IJobStore store, JobEvents events, JobQueue queue, RunningJobs running, RunsModel runs, ReloadModel reload, JobInstruments instruments, MyelinOptions options, IHostApplicationLifetime lifetime, TimeProvider time, ILogger<JobListener> logger)
    : BackgroundService
{
    private const int PageSize = 1000;
    private static readonly TimeSpan s_rescan = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_help = TimeSpan.FromMilliseconds(50);

    private readonly CancellationTokenSource _listening = new();
    private (JobPriority Priority, IAsyncEnumerable<BusMessage> Hints)[] _classes = [];
    private IAsyncEnumerable<BusMessage>? _controls;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        // Subscribed before the coordinator announces what waits.
        _classes = [.. Enum.GetValues<JobPriority>().Select(p => (p, bus.SubscribeAsync(Topics.AllJobs(p), Topics.Workers(p), lifetime.ApplicationStopping)))];
        _controls = bus.SubscribeAsync(Topics.Control, group: null, _listening.Token);
        events.Observed += queue.Observe;
        await base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        events.Observed -= queue.Observe;
        await _listening.CancelAsync();
        await base.StopAsync(cancellationToken);
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
            var page = await store.QueuedAsync(last, PageSize, cancellationToken);
            foreach (var hint in page)
            {
                if (runs(hint.Model) && !queue.Offer(hint))
                {
                    return;
                }
            }

            if (page.Length < PageSize)
            {
                return;
            }

            // Pages go by model: one that does not run here is passed over whole.
            last = runs(page[^1].Model) ? page[^1] : page[^1] with { Priority = JobPriority.Low, Sequence = long.MaxValue };
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var taking = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        var controls = ReceiveAsync(_controls!, ControlAsync, stoppingToken);
        try
        {
            await Loops.TogetherAsync(
            [
                controls,
                .. _classes.Select(c => ReceiveAsync(c.Hints, message => HintAsync(c.Priority, message, taking.Token), taking.Token)),
                RescanLoopAsync(taking.Token),
            ]);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested || stoppingToken.IsCancellationRequested)
        {
            // Nothing more is taken.
        }

        try
        {
            // Not by the token of the takers: subscriptions may end with the word to stop before it has reached that one.
            if (lifetime.ApplicationStopping.IsCancellationRequested || stoppingToken.IsCancellationRequested)
            {
                await controls; // a cancel still reaches what runs
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested || _listening.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    private async ValueTask HintAsync(JobPriority priority, BusMessage message, CancellationToken cancellationToken)
    {
        var hint = message.Read(JobsJson.Default.JobHint);
        if (bus.Retains)
        {
            await queue.RoomAsync(priority, options.Bus.Kafka.Window, cancellationToken);
        }

        if (!runs(hint.Model))
        {
            // A bus that keeps its messages gave it to this process alone; the others give a hint to every one.
            if (bus.Retains)
            {
                await bus.PublishLookAsync(hint, cancellationToken);
            }

            message.Done();
        }
        else if (!queue.Offer(hint, message.Done))
        {
            // Turned away, and remembered as such: the queue asks Storage once it has room.
            message.Done();
        }
    }

    private ValueTask ControlAsync(BusMessage message)
    {
        var control = message.Read(JobsJson.Default.JobControl);
        if (control.Cancel is { } job)
        {
            running.Stop(job, StopReason.Cancelled);
        }

        if (control.Reload is { } model)
        {
            _ = Task.Run(() => Reload(model), CancellationToken.None); // reads files: a cancel behind it must not wait
        }

        if (control.Look is { } hint && runs(hint.Model))
        {
            // Several may take it to heart: the claim decides.
            queue.Offer(hint);
        }

        return ValueTask.CompletedTask;
    }

    private void Reload(string model)
    {
        try
        {
            reload(model);
        }
        catch (Exception e)
        {
            LogNotReloaded(model, e);
        }
    }

    private async Task ReceiveAsync(IAsyncEnumerable<BusMessage> messages, Func<BusMessage, ValueTask> act, CancellationToken cancellationToken)
    {
        await foreach (var message in messages.WithCancellation(cancellationToken))
        {
            try
            {
                await act(message);
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                // On Kafka anybody may have written it: whatever it provokes, it is this message's fault alone.
                instruments.Rejected(message.Topic);
                await bus.RejectAsync(message, $"unusable: {e.Message}", cancellationToken);
            }
        }
    }

    private async Task RescanLoopAsync(CancellationToken cancellationToken)
    {
        for (var pause = s_rescan; ;)
        {
            await Task.Delay(pause, time, cancellationToken);
            try
            {
                if (queue.NeedsRescan)
                {
                    // Jobs whose hints went to others wait there while this worker has nothing to do: it goes on helping
                    // until there are none. A group shares out partitions by their number, not by what is in them.
                    await RescanAsync(cancellationToken);
                    pause = queue.Count > 0 ? s_help : s_rescan;
                }
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                LogRescan(e);
                pause = s_rescan;
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "Model {Model} could not be read to be loaded anew")]
    private partial void LogNotReloaded(string model, Exception e);

    [LoggerMessage(LogLevel.Warning, "Queued jobs could not be read; the next look tries again")]
    private partial void LogRescan(Exception e);
}
