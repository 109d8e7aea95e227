using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Server.Inference;

/// <summary>Tensor calls on this process's own models. Tags are bounded: models that it has, statuses.</summary>
internal sealed class TensorInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _served;
    private readonly Histogram<double> _seconds;

    public TensorInstruments(IMeterFactory meters)
    {
        _meter = meters.Create(MetricsPage.MeterName);
        _served = _meter.CreateCounter<long>("myelin.calls.served", "{call}", "Synchronous calls that this process has answered, by status.");
        _seconds = _meter.CreateHistogram<double>("myelin.calls.run", "s", "Time that the network took for a synchronous call.");
    }

    public void Served(string model, int status) => _served.Add(1, new("model", model), new("status", status));

    public void Ran(string model, TimeSpan time) => _seconds.Record(time.TotalSeconds, new KeyValuePair<string, object?>("model", model));

    public void Dispose() => _meter.Dispose();
}
