using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;
using Myelin.Inference.Runtimes.Sidecars;

namespace Myelin.Serving.Models;

/// <summary>
/// Sidecars as numbers, by model. Times are sums over calls: divided by the calls they are seconds per call, and
/// <c>transport</c> is what a call took beyond what the sidecar says it computed, its queue included.
/// </summary>
internal sealed class SidecarInstruments : IDisposable
{
    private readonly Meter _meter;

    public SidecarInstruments(IMeterFactory meters, SidecarSupervisor sidecars)
    {
        _meter = meters.Create(MetricsPage.MeterName);
        _meter.CreateObservableGauge("myelin.sidecar.up", () => Each(sidecars, t => t.Ready), null, "Processes or addresses of a model that take calls.");
        _meter.CreateObservableGauge("myelin.sidecar.wanted", () => Each(sidecars, t => t.Wanted), null, "Processes or addresses of a model that there should be.");
        _meter.CreateObservableCounter("myelin.sidecar.restarts", () => Each(sidecars, t => t.Counters.Restarts), null, "Starts and connections after the first.");
        _meter.CreateObservableCounter("myelin.sidecar.retries", () => Each(sidecars, t => t.Counters.Retried), null, "Calls given to another process because theirs crashed.");
        _meter.CreateObservableCounter("myelin.sidecar.calls", () => sidecars.Totals().SelectMany(Calls), null, "Calls by how they ended.");
        _meter.CreateObservableCounter("myelin.sidecar.call.time", () => sidecars.Totals().SelectMany(Times), "s", "Time of calls: waiting for a sidecar, transport, computing.");
        _meter.CreateObservableGauge("myelin.sidecar.ring.size", () => Each(sidecars, t => t.Counters.RingBytes), "By", "Shared memory reserved.");
        _meter.CreateObservableGauge("myelin.sidecar.ring.used", () => Each(sidecars, t => t.Counters.RingUsed), "By", "Shared memory that inputs take now.");
    }

    public void Dispose() => _meter.Dispose();

    private static IEnumerable<Measurement<long>> Each(SidecarSupervisor sidecars, Func<SidecarTotals, long> value) =>
        sidecars.Totals().Select(totals => new Measurement<long>(value(totals), Model(totals)));

    private static IEnumerable<Measurement<long>> Calls(SidecarTotals totals) =>
    [
        new(totals.Counters.Succeeded, Model(totals), new("outcome", "succeeded")),
        new(totals.Counters.Failed, Model(totals), new("outcome", "failed")),
        new(totals.Counters.Cancelled, Model(totals), new("outcome", "cancelled")),
    ];

    private static IEnumerable<Measurement<double>> Times(SidecarTotals totals)
    {
        var transport = totals.Counters.Call - totals.Counters.Compute;
        return
        [
            new(totals.Counters.Wait.TotalSeconds, Model(totals), new("part", "wait")),
            new(Math.Max(transport.TotalSeconds, 0), Model(totals), new("part", "transport")),
            new(totals.Counters.Compute.TotalSeconds, Model(totals), new("part", "compute")),
        ];
    }

    private static KeyValuePair<string, object?> Model(SidecarTotals totals) => new("model", totals.Model);
}
