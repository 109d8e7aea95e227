using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Hosting.Accounts;

internal sealed class AccountsInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _stale;

    public AccountsInstruments(IMeterFactory meters)
    {
        _meter = meters.Create(MetricsPage.MeterName);
        _stale = _meter.CreateCounter<long>("myelin.accounts.stale", "{request}", "Requests judged by a key that could not be read again: the database is away.");
    }

    public void Stale() => _stale.Add(1);

    public void Dispose() => _meter.Dispose();
}
