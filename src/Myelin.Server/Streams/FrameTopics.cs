using System.Threading.Channels;
using Myelin.Server.Bus;
using Myelin.Server.Configuration;

namespace Myelin.Server.Streams;

/// <summary>
/// Frames that come by Kafka. Every partition is a lane: one frame of it at a time, in order; lanes share the permits.
/// A lane that falls behind drops its oldest frames (counted) or, with no backlog allowed to drop, lets the topic wait.
/// </summary>
internal sealed class FrameTopics(FrameWork work, FrameDelivery delivery, IBus bus, StreamInstruments instruments, MyelinOptions options) : BackgroundService
{
    private const string Group = "frames";

    /// <summary>Without dropping: read ahead of the work, so that the next frame is there when one is done.</summary>
    private const int Ahead = 2;

    /// <summary>The topics of answers have longer names than those of frames, and Kafka's end at 249 characters.</summary>
    private const int LongestName = 200;

    private readonly SemaphoreSlim _permits = new(options.OpenTopics.Concurrency > 0 ? options.OpenTopics.Concurrency : Environment.ProcessorCount);
    private readonly Dictionary<string, Channel<BusMessage>> _lanes = new(StringComparer.Ordinal);
    private readonly List<Task> _pumps = [];

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var streams = options.OpenTopics.Streams.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        foreach (var stream in streams.Where(s => s != "*"))
        {
            // Also for those who want to read before the first answer.
            bus.Prepare(Topics.Results(stream));
            bus.Prepare(Topics.Annotated(stream));
        }

        // Off the host's start: a broker may be away.
        await Task.Yield();
        await Task.WhenAll(streams.Select(s => ReadAsync(Topics.Frames(s), stoppingToken)));
        await Task.WhenAll(Pumps());
    }

    private async Task ReadAsync(string topics, CancellationToken cancellationToken)
    {
        try
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
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Shutdown: what was not answered is read again by whoever has the partition next.
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
                FrameAnswer answer;
                await _permits.WaitAsync(cancellationToken);
                try
                {
                    answer = await work.RunAsync(stream, frame, cancellationToken);
                }
                finally
                {
                    _permits.Release();
                }

                await delivered;
                delivered = delivery.RunAsync(frame, answer, cancellationToken);
            }

            await delivered;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    public override void Dispose()
    {
        _permits.Dispose();
        base.Dispose();
    }
}
