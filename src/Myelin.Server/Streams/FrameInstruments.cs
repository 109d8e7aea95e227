using System.Diagnostics.Metrics;
using Myelin.Server.Telemetry;

namespace Myelin.Server.Streams;

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

internal sealed class FrameInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _frames;
    private readonly Histogram<double> _latency;

    public FrameInstruments(IMeterFactory factory)
    {
        _meter = factory.Create(MetricsPage.MeterName);
        _frames = _meter.CreateCounter<long>("myelin.streams.frames", "{frame}", "Frames by stream and outcome.");
        _latency = _meter.CreateHistogram<double>("myelin.streams.latency", "s", "From capture (the header captured-at) to the answer.");
    }

    public void Ended(string stream, FrameOutcome outcome) => _frames.Add(1, new("stream", stream), new("outcome", outcome.ToString().ToLowerInvariant()));

    public void Answered(string stream, TimeSpan latency) => _latency.Record(Math.Max(latency.TotalSeconds, 0), new KeyValuePair<string, object?>("stream", stream));

    public void Dispose() => _meter.Dispose();
}
