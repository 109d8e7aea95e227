using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs;

/// <summary>A job after something happened to it. <paramref name="Kind"/> is the SSE event name: state, progress or end.</summary>
internal sealed record JobUpdate(long EventId, string Kind, JobRecord Job);

/// <summary>
/// The process's ear on <see cref="Topics.Events"/>: one loop reads the bus and hands signals to watchers of a job and
/// to <see cref="Observed"/>. Keeps the newest progress and preview of running jobs, which Storage gets later or never.
/// </summary>
internal sealed partial class JobEvents(
    IBus bus, IJobStore store, ServiceRates rates, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<JobEvents> logger)
    : BackgroundService
{
    /// <summary>Running jobs whose newest progress is remembered here.</summary>
    private const int LiveLimit = 10_000;

    /// <summary>A watcher reads the row that often even when nothing is heard: a lost message costs seconds.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<string, ImmutableArray<JobSubscription>> _watchers = new(StringComparer.Ordinal);
    private readonly LastHeard<JobSignal> _live = new(LiveLimit, options.Worker.AttemptTimeout + options.Worker.Lease, time);
    private IAsyncEnumerable<BusMessage>? _messages;
    private CancellationTokenSource? _listening;

    /// <summary>Called for every signal on the hub's loop, before watchers hear of it; must be quick.</summary>
    public event Action<JobSignal>? Observed;

    public JobPreviews Previews { get; } = new(options.Worker.AttemptTimeout + options.Worker.Lease, time);

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        // Subscribed before anything else starts, so that nothing of this process goes unheard.
        _listening = new CancellationTokenSource();
        _messages = bus.SubscribeAsync(Topics.Events, group: null, _listening.Token);
        await base.StartAsync(cancellationToken);
    }

    /// <summary>The job with the newest progress this process has heard of.</summary>
    public JobRecord WithLiveProgress(JobRecord job) =>
        job.State == JobState.Running && _live.TryGet(job.Id, out var live) && live.EventId > job.EventId && live.EventId < EventIds.Ended(job.Attempt)
            ? job with { Progress = live.Progress, EventId = live.EventId }
            : job;

    /// <summary>True while somebody waits for the job or follows its events in this process.</summary>
    public bool IsWatched(string id) => _watchers.ContainsKey(id);

    /// <summary>
    /// The job as it is now, unless <paramref name="lastEventId"/> says that the caller has seen that, then every
    /// change; completes with the end. Nothing for an unknown job.
    /// </summary>
    public async IAsyncEnumerable<JobUpdate> WatchAsync(string id, long? lastEventId, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var subscription = new JobSubscription();
        Add(id, subscription);
        try
        {
            var last = lastEventId ?? -1;
            if (await ReadAsync(id, cancellationToken) is not { } job)
            {
                yield break;
            }

            while (true)
            {
                if (job.EventId > last)
                {
                    var kind = KindOf(job, last);
                    last = job.EventId;
                    yield return new JobUpdate(last, kind, job);
                }

                if (job.State.IsEnd())
                {
                    yield break;
                }

                var signal = await subscription.NextAsync(s_patience, time, cancellationToken);
                if (signal is { Kind: JobSignalKind.Progress } && signal.EventId > last && signal.EventId < EventIds.Ended(job.Attempt) && job.State == JobState.Running)
                {
                    job = job with { Progress = signal.Progress, EventId = signal.EventId };
                }
                else if (signal is null || signal.EventId > last)
                {
                    if (await ReadAsync(id, cancellationToken) is not { } read)
                    {
                        yield break;
                    }

                    job = read;
                }
            }
        }
        finally
        {
            Remove(id, subscription);
            if (subscription.Coalesced > 0)
            {
                instruments.Coalesced(subscription.Coalesced);
            }
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await (_listening?.CancelAsync() ?? Task.CompletedTask);
        await base.StopAsync(cancellationToken);
    }

    public override void Dispose()
    {
        _listening?.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await foreach (var message in _messages!.WithCancellation(stoppingToken))
            {
                try
                {
                    Receive(message);
                }
                catch (Exception e)
                {
                    // On Kafka anybody may have written it: whatever it provokes, it is this message's fault alone.
                    instruments.Rejected(message.Topic);
                    LogUnreadable(e);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested || _listening!.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    private static string KindOf(JobRecord job, long last)
    {
        if (job.State.IsEnd())
        {
            return "end";
        }

        var startKnown = last >= EventIds.Claimed(job.Attempt);
        return job is { State: JobState.Running, Progress: not null } && startKnown ? "progress" : "state";
    }

    private void Receive(BusMessage message)
    {
        if (message.Headers?.ContainsKey(JobMessages.PreviewHeader) == true)
        {
            if (message.Key is { } job)
            {
                Previews.Put(job, message.Payload);
            }

            return;
        }

        var signal = message.Read(JobsJson.Default.JobSignal);
        Remember(signal);
        rates.Observe(signal);
        Observed?.Invoke(signal);
        if (_watchers.TryGetValue(signal.Job, out var watchers))
        {
            foreach (var watcher in watchers)
            {
                watcher.Offer(signal);
            }
        }
    }

    private void Remember(JobSignal signal)
    {
        if (signal.Kind != JobSignalKind.Progress)
        {
            _live.Remove(signal.Job);
            Previews.Remove(signal.Job);
        }
        else
        {
            _live.Put(signal.Job, signal);
        }
    }

    private async ValueTask<JobRecord?> ReadAsync(string id, CancellationToken cancellationToken) =>
        await store.GetAsync(id, cancellationToken) is { } job ? WithLiveProgress(job) : null;

    private void Add(string id, JobSubscription subscription) =>
        _watchers.AddOrUpdate(id, static (_, added) => [added], static (_, watchers, added) => watchers.Add(added), subscription);

    private void Remove(string id, JobSubscription subscription)
    {
        while (_watchers.TryGetValue(id, out var watchers))
        {
            var rest = watchers.Remove(subscription);
            if (rest.IsEmpty ? _watchers.TryRemove(new KeyValuePair<string, ImmutableArray<JobSubscription>>(id, watchers)) : _watchers.TryUpdate(id, rest, watchers))
            {
                return;
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "A message on myelin.events cannot be used; ignored")]
    private partial void LogUnreadable(Exception e);
}
