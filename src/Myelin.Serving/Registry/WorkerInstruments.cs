using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Serving.Registry;

/// <summary>What this process sees of the workers.</summary>
internal sealed class WorkerInstruments(IMeterFactory meters) : IDisposable
{
    private readonly Meter _meter = meters.Create(MetricsPage.MeterName);

    public void Observe(Func<int> live) => _meter.CreateObservableGauge("myelin.workers.live", live, "{worker}", "Workers that take work, as this process knows.");

    public void Dispose() => _meter.Dispose();
}
