using System.Diagnostics.Metrics;

namespace Myelin.Hosting.Storage;

/// <summary>Counters and gauges of the storage, whichever engine it is.</summary>
internal sealed class StorageInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Histogram<int> _commits;
    private readonly Counter<long> _lost;

    public StorageInstruments(IMeterFactory meters)
    {
        _meter = meters.Create("Myelin");
        _commits = _meter.CreateHistogram<int>("myelin.storage.commit_size", "{operation}", "Operations that shared one commit.");
        _lost = _meter.CreateCounter<long>("myelin.storage.connections_lost", "{connection}", "Times that the database did not answer or went away.");
    }

    public void Committed(int operations) => _commits.Record(operations);

    public void ConnectionLost() => _lost.Add(1);

    /// <summary>Shows how far this machine's clock is off the database's.</summary>
    public void ObserveClock(Func<TimeSpan> offset) => _meter.CreateObservableGauge(
        "myelin.storage.clock_offset", () => offset().TotalSeconds, "s", "What is added to this machine's clock to have the database's.");

    /// <summary>Shows the prepared statements that are kept: few, and always the same.</summary>
    public void ObserveStatements(Func<int> statements) => _meter.CreateObservableGauge(
        "myelin.storage.statements", statements, "{statement}", "Prepared statements kept, over all connections.");

    public void Dispose() => _meter.Dispose();
}
