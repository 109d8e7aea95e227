using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Myelin.Hosting.Telemetry;

/// <summary>
/// Collects this server's instruments, ASP.NET Core's and the runtime's, and writes them as Prometheus text (0.0.4).
/// Measurements come from any thread; scrapes take turns.
/// </summary>
internal sealed class MetricsPage : IDisposable
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>The meter of every capability of this server; created through <see cref="IMeterFactory"/>.</summary>
    public const string MeterName = "Myelin";

    private static readonly string[] s_meters = [MeterName, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime"];

    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, ConcurrentBag<MetricFamily>> _families = new(StringComparer.Ordinal);
    private readonly Lock _scraping = new();
    private long _scrape;

    public MetricsPage(IMeterFactory factory)
    {
        // A meter made by another server's factory in the same process (tests) is not ours.
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (s_meters.Contains(instrument.Meter.Name) && (instrument.Meter.Scope is null || ReferenceEquals(instrument.Meter.Scope, factory)))
            {
                var family = MetricFamily.Of(instrument);
                _families.GetOrAdd(family.Name, static _ => []).Add(family);
                listener.EnableMeasurementEvents(instrument, family);
            }
        };
        _listener.MeasurementsCompleted = (_, state) => ((MetricFamily?)state)?.Retire();
        _listener.SetMeasurementEventCallback<long>((_, value, tags, state) => Measure(value, tags, state));
        _listener.SetMeasurementEventCallback<int>((_, value, tags, state) => Measure(value, tags, state));
        _listener.SetMeasurementEventCallback<double>((_, value, tags, state) => Measure(value, tags, state));
        _listener.Start();
    }

    public string Write()
    {
        lock (_scraping)
        {
            var scrape = Interlocked.Increment(ref _scrape);
            _listener.RecordObservableInstruments();
            var text = new StringBuilder(16 << 10);
            foreach (var (name, families) in _families.OrderBy(f => f.Key, StringComparer.Ordinal))
            {
                WriteFamily(text, name, families, scrape);
            }

            ProcessMetrics.Write(text);
            return text.ToString();
        }
    }

    public void Dispose() => _listener.Dispose();

    private void Measure(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state) =>
        ((MetricFamily)state!).Measure(value, tags, Volatile.Read(ref _scrape));

    private static void WriteFamily(StringBuilder text, string name, IEnumerable<MetricFamily> families, long scrape)
    {
        var lines = families
            .Where(f => !f.Retired)
            .SelectMany(f => f.Current(scrape).Select(s => (Family: f, s.Labels, s.Series)))
            .DistinctBy(line => line.Labels)
            .ToArray();
        if (lines.Length == 0)
        {
            return;
        }

        var first = lines[0].Family;
        Head(text, name, first.Help, first.Kind);
        foreach (var (family, labels, series) in lines)
        {
            if (family.Kind == MetricKind.Histogram)
            {
                WriteHistogram(text, name, labels, family.Bounds!, series);
            }
            else
            {
                Line(text, name, labels, series.Value);
            }
        }
    }

    private static void WriteHistogram(StringBuilder text, string name, string labels, double[] bounds, MetricSeries series)
    {
        var count = 0L;
        var prefix = labels.Length == 0 ? "" : labels + ",";
        for (var i = 0; i < series.Buckets.Length; i++)
        {
            count += Volatile.Read(in series.Buckets[i]);
            Line(text, name + "_bucket", $"{prefix}le=\"{(i < bounds.Length ? Number(bounds[i]) : "+Inf")}\"", count);
        }

        Line(text, name + "_sum", labels, series.Value);
        Line(text, name + "_count", labels, count);
    }

    internal static void Head(StringBuilder text, string name, string help, MetricKind kind)
    {
        var safe = help.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
        text.Append("# HELP ").Append(name).Append(' ').Append(safe).Append('\n');
        text.Append("# TYPE ").Append(name).Append(' ').Append(kind switch
        {
            MetricKind.Counter => "counter",
            MetricKind.Histogram => "histogram",
            _ => "gauge",
        }).Append('\n');
    }

    internal static void Line(StringBuilder text, string name, string labels, double value)
    {
        text.Append(name);
        if (labels.Length > 0)
        {
            text.Append('{').Append(labels).Append('}');
        }

        text.Append(' ').Append(Number(value)).Append('\n');
    }

    private static string Number(double value) => value switch
    {
        double.PositiveInfinity => "+Inf",
        double.NegativeInfinity => "-Inf",
        double.NaN => "NaN",
        _ => value.ToString("R", CultureInfo.InvariantCulture),
    };
}
