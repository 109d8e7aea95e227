using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Server.Inference.Calls;

/// <summary>Synchronous calls as a gateway sees them. Tags are bounded: models that are known, outcomes.</summary>
internal sealed class CallInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _ended;
    private readonly Counter<long> _again;

    public CallInstruments(IMeterFactory meters, WorkerLinks links)
    {
        _meter = meters.Create(MetricsPage.MeterName);
        _ended = _meter.CreateCounter<long>("myelin.calls.routed", "{call}", "Synchronous calls that a gateway has seen through, by outcome.");
        _again = _meter.CreateCounter<long>("myelin.calls.tried_again", "{call}", "Times that a call went to another worker because the first had done nothing, by reason.");
        _meter.CreateObservableGauge("myelin.calls.in_flight", () => links.InFlight, "{call}", "Calls of this gateway that workers have now.");
    }

    public void Ended(string model, CallOutcome outcome) => _ended.Add(1, new("model", model), new("outcome", outcome.ToString()));

    public void TriedAgain(string model, string reason) => _again.Add(1, new("model", model), new("reason", reason));

    public void Dispose() => _meter.Dispose();
}
