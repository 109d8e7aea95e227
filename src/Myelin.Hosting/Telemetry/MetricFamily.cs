using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Myelin.Hosting.Telemetry;

internal enum MetricKind
{
    Counter,
    Gauge,
    Histogram,
}

/// <summary>An instrument and its series. At most <see cref="MaxSeries"/>: tags from outside cannot fill the memory.</summary>
internal sealed class MetricFamily
{
    public const int MaxSeries = 1000;

    private static readonly double[] s_seconds =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

    private static readonly KeyValuePair<string, object?>[] s_overflowTags = [new("otel_metric_overflow", true)];

    private readonly ConcurrentDictionary<TagSet, MetricSeries> _series = new(new TagSetComparer());
    private readonly bool _observed;
    private readonly bool _sets;

    private MetricFamily(Instrument instrument, MetricKind kind, bool observed, bool sets, double[]? bounds)
    {
        (Kind, _observed, _sets, Bounds) = (kind, observed, sets, bounds);
        Name = PrometheusName.Of(instrument, kind == MetricKind.Counter);
        Help = instrument.Description ?? instrument.Name;
    }

    public string Name { get; }

    public string Help { get; }

    public MetricKind Kind { get; }

    public double[]? Bounds { get; }

    public static MetricFamily Of(Instrument instrument)
    {
        var type = instrument.GetType();
        var shape = type.IsGenericType ? type.GetGenericTypeDefinition() : type;
        var bounds = instrument switch
        {
            Histogram<double> h => Advised(h),
            Histogram<long> h => Advised(h),
            Histogram<int> h => Advised(h),
            _ => null,
        };
        return shape switch
        {
            _ when shape == typeof(Counter<>) => new(instrument, MetricKind.Counter, observed: false, sets: false, null),
            _ when shape == typeof(ObservableCounter<>) => new(instrument, MetricKind.Counter, observed: true, sets: true, null),
            _ when shape == typeof(Histogram<>) => new(instrument, MetricKind.Histogram, observed: false, sets: false, bounds ?? s_seconds),
            _ when shape == typeof(UpDownCounter<>) => new(instrument, MetricKind.Gauge, observed: false, sets: false, null),
            _ => new(instrument, MetricKind.Gauge, instrument.IsObservable, sets: true, null),
        };
    }

    /// <summary>True once its meter is gone.</summary>
    public bool Retired { get; private set; }

    public void Retire() => Retired = true;

    public void Measure(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags, long scrape)
    {
        var series = Find(tags);
        if (Kind == MetricKind.Histogram)
        {
            series.Record(value);
        }
        else if (_sets)
        {
            series.Set(value, scrape);
        }
        else
        {
            series.Add(value);
        }
    }

    /// <summary>Series to show, in the order of their labels.</summary>
    public IEnumerable<(string Labels, MetricSeries Series)> Current(long scrape) => _series
        .Where(s => !_observed || s.Value.Scrape == scrape)
        .Select(s => (s.Key.Labels, s.Value))
        .OrderBy(s => s.Labels, StringComparer.Ordinal);

    private MetricSeries Find(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var lookup = _series.GetAlternateLookup<ReadOnlySpan<KeyValuePair<string, object?>>>();
        if (lookup.TryGetValue(tags, out var series))
        {
            return series;
        }

        return _series.Count < MaxSeries
            ? _series.GetOrAdd(new TagSet(tags), new MetricSeries(Bounds))
            : _series.GetOrAdd(new TagSet(s_overflowTags), new MetricSeries(Bounds));
    }

    private static double[]? Advised<T>(Histogram<T> histogram) where T : struct =>
        histogram.Advice?.HistogramBucketBoundaries is { } bounds
            ? [.. bounds.Select(b => Convert.ToDouble(b, System.Globalization.CultureInfo.InvariantCulture))]
            : null;
}
