using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Jobs.OpenTopics;

internal enum FrameOutcome
{
    Processed,

    /// <summary>Newer frames came before its turn.</summary>
    Dropped,

    /// <summary>Answered with a problem of the sender's.</summary>
    Refused,

    /// <summary>Answered with a problem of the server's.</summary>
    Failed,
}

/// <summary>What became of a message of <c>myelin.jobs.in</c>.</summary>
internal enum IntakeOutcome
{
    Accepted,

    /// <summary>A delivery of a job that was accepted before.</summary>
    Repeated,

    /// <summary>Answered with a problem.</summary>
    Refused,
}

/// <summary>Counters of work that comes by Kafka. Tags are bounded: streams that have a topic, outcomes.</summary>
internal sealed class StreamInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _frames;
    private readonly Counter<long> _skewed;
    private readonly Counter<long> _omitted;
    private readonly Counter<long> _jobs;
    private readonly Counter<long> _waits;
    private readonly Histogram<double> _latency;

    public StreamInstruments(IMeterFactory factory)
    {
        _meter = factory.Create(MetricsPage.MeterName);
        _frames = _meter.CreateCounter<long>("myelin.streams.frames", "{frame}", "Frames by stream and outcome.");
        _skewed = _meter.CreateCounter<long>("myelin.streams.skewed", "{frame}", "Frames whose header captured-at lies ahead of this machine's clock; their latency is not measured.");
        _omitted = _meter.CreateCounter<long>("myelin.streams.omitted", "{message}", "Answers, or pictures of them, that are larger than the bus takes.");
        _jobs = _meter.CreateCounter<long>("myelin.streams.jobs", "{message}", "Messages of myelin.jobs.in by outcome.");
        _waits = _meter.CreateCounter<long>("myelin.streams.jobs_waits", "{wait}", "Times a message of myelin.jobs.in had to wait, by reason.");
        _latency = _meter.CreateHistogram<double>("myelin.streams.latency", "s", "From capture (the header captured-at) to the answer.");
    }

    public void Ended(string stream, FrameOutcome outcome) => _frames.Add(1, Stream(stream), Outcome(outcome));

    public void Answered(string stream, TimeSpan latency)
    {
        if (latency < TimeSpan.Zero)
        {
            _skewed.Add(1, Stream(stream));
            return;
        }

        _latency.Record(latency.TotalSeconds, Stream(stream));
    }

    public void Omitted(string topic) => _omitted.Add(1, new KeyValuePair<string, object?>("topic", topic));

    public void Took(IntakeOutcome outcome) => _jobs.Add(1, Outcome(outcome));

    public void Waits(SubmitStatus reason) => _waits.Add(1, new KeyValuePair<string, object?>("reason", reason.ToString()));

    public void Dispose() => _meter.Dispose();

    private static KeyValuePair<string, object?> Stream(string stream) => new("stream", stream);

    private static KeyValuePair<string, object?> Outcome<T>(T outcome) where T : struct, Enum => new("outcome", outcome.ToString().ToLowerInvariant());
}
