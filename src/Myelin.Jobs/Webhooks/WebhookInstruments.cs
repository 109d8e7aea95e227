using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Jobs.Webhooks;

internal enum DeliveryOutcome
{
    Delivered,

    /// <summary>Will be tried again.</summary>
    Failed,
    GivenUp,
}

internal sealed class WebhookInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _deliveries;
    private readonly Histogram<double> _duration;

    public WebhookInstruments(IMeterFactory factory)
    {
        _meter = factory.Create(MetricsPage.MeterName);
        _deliveries = _meter.CreateCounter<long>("myelin.webhooks.deliveries", "{attempt}", "Attempts to deliver a webhook, by outcome.");
        _duration = _meter.CreateHistogram<double>("myelin.webhooks.duration", "s", "Time of one attempt.");
    }

    public void Tried(DeliveryOutcome outcome, TimeSpan took)
    {
        _deliveries.Add(1, new KeyValuePair<string, object?>("outcome", outcome switch
        {
            DeliveryOutcome.Delivered => "delivered",
            DeliveryOutcome.Failed => "failed",
            _ => "given_up",
        }));
        _duration.Record(took.TotalSeconds);
    }

    public void Dispose() => _meter.Dispose();
}
