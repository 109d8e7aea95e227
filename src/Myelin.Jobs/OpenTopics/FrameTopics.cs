using System.Threading.Channels;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;

namespace Myelin.Jobs.OpenTopics;

/// <summary>
/// Frames that come by Kafka. Every partition is a lane: one frame of it at a time, in order; lanes share the permits.
/// A lane that falls behind drops its oldest frames (counted) or, with no backlog allowed to drop, lets the topic wait.
/// </summary>
internal sealed partial class FrameTopics(
    FrameWork work, FrameDelivery delivery, IBus bus, StreamInstruments instruments, MyelinOptions options, IHostApplicationLifetime lifetime, ILogger<FrameTopics> logger)
    : BackgroundService
{
    private const string Group = "frames";

    /// <summary>Without dropping: read ahead of the work, so that the next frame is there when one is done.</summary>
    private const int Ahead = 2;

    /// <summary>The topics of answers have longer names than those of frames, and Kafka's end at 249 characters.</summary>
    private const int LongestName = 200;

    private readonly SemaphoreSlim _permits = new(options.OpenTopics.Concurrency > 0 ? options.OpenTopics.Concurrency : Environment.ProcessorCount);
    private readonly Dictionary<string, Channel<BusMessage>> _lanes = new(StringComparer.Ordinal);
    private readonly List<Task> _pumps = [];

    /// <summary>Takes on the end of whichever lane breaks: they come while others run.</summary>
    private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static string[] Streams(OpenTopicsOptions open) => open.Streams.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var streams = Streams(options.OpenTopics);
        foreach (var stream in streams.Where(s => s != "*"))
        {
            // Also for those who want to read before the first answer.
            bus.Prepare(Topics.Results(stream));
            bus.Prepare(Topics.Annotated(stream));
        }

        // Off the host's start: a broker may be away.
        await Task.Yield();
        using var taking = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        try
        {
            await Loops.TogetherAsync([_broken.Task, .. streams.Select(s => ReadAsync(Topics.Frames(s), taking.Token))]);
        }
        catch (OperationCanceledException) when (taking.IsCancellationRequested)
        {
            // Shutdown: what was not answered is read again by whoever has the partition next.
            await Task.WhenAll(Pumps());
        }
    }

    private async Task ReadAsync(string topics, CancellationToken cancellationToken)
    {
        await foreach (var frame in bus.SubscribeAsync(topics, Group, cancellationToken).WithCancellation(cancellationToken))
        {
            if (Topics.StreamOf(frame.Topic).Length > LongestName)
            {
                await bus.RejectAsync(frame, $"streams have names of at most {LongestName} characters", cancellationToken);
                continue;
            }

            await Lane(frame, cancellationToken).WriteAsync(frame, cancellationToken);
        }
    }

    private ChannelWriter<BusMessage> Lane(BusMessage frame, CancellationToken cancellationToken)
    {
        var origin = frame.Origin ?? frame.Topic;
        var name = origin.LastIndexOf('/') is > 0 and var end ? origin[..end] : origin;
        lock (_lanes)
        {
            if (!_lanes.TryGetValue(name, out var lane))
            {
                var stream = Topics.StreamOf(frame.Topic);
                lane = NewLane(stream);
                _lanes.Add(name, lane);
                _pumps.Add(PumpAsync(stream, lane.Reader, cancellationToken));
            }

            return lane.Writer;
        }
    }

    private Channel<BusMessage> NewLane(string stream) => options.OpenTopics.Backlog > 0
        ? Channel.CreateBounded<BusMessage>(new BoundedChannelOptions(options.OpenTopics.Backlog) { FullMode = BoundedChannelFullMode.DropOldest }, frame =>
        {
            instruments.Ended(stream, FrameOutcome.Dropped);
            frame.Done();
        })
        : Channel.CreateBounded<BusMessage>(Ahead);

    private Task[] Pumps()
    {
        lock (_lanes)
        {
            return [.. _pumps];
        }
    }

    /// <summary>While one frame's answer is on its way, the next one is worked on.</summary>
    private async Task PumpAsync(string stream, ChannelReader<BusMessage> frames, CancellationToken cancellationToken)
    {
        var delivered = Task.CompletedTask;
        try
        {
            await foreach (var frame in frames.ReadAllAsync(cancellationToken))
            {
                if (await WorkAsync(stream, frame, cancellationToken) is { } answer)
                {
                    await delivered;
                    delivered = DeliverAsync(frame, answer, cancellationToken);
                }
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Shutdown.
        }
        catch (Exception e)
        {
            _broken.TrySetException(e);
        }
    }

    /// <summary>Null where the frame was put aside: whatever one provokes that nobody foresaw, its lane goes on.</summary>
    private async Task<FrameAnswer?> WorkAsync(string stream, BusMessage frame, CancellationToken cancellationToken)
    {
        await _permits.WaitAsync(cancellationToken);
        try
        {
            return await work.RunAsync(stream, frame, cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            await PutAsideAsync(stream, frame, e, cancellationToken);
            return null;
        }
        finally
        {
            _permits.Release();
        }
    }

    private async Task DeliverAsync(BusMessage frame, FrameAnswer answer, CancellationToken cancellationToken)
    {
        try
        {
            await delivery.RunAsync(frame, answer, cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            await PutAsideAsync(answer.Stream, frame, e, cancellationToken);
        }
    }

    private async Task PutAsideAsync(string stream, BusMessage frame, Exception e, CancellationToken cancellationToken)
    {
        LogPutAside(frame.Origin ?? stream, e);
        instruments.Ended(stream, FrameOutcome.Failed);
        try
        {
            await bus.RejectAsync(frame, $"unusable: {e.Message}", cancellationToken);
        }
        catch (Exception last) when (!cancellationToken.IsCancellationRequested)
        {
            _broken.TrySetException(last); // here: its lane looks at a delivery only when the next frame comes
            throw;
        }
    }

    public override void Dispose()
    {
        _permits.Dispose();
        base.Dispose();
    }

    [LoggerMessage(LogLevel.Error, "The frame at {Origin} cannot be worked on and is put aside")]
    private partial void LogPutAside(string origin, Exception e);
}
