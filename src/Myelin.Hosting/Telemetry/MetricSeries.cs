namespace Myelin.Hosting.Telemetry;

/// <summary>One line, or one histogram, of the page. Written by any thread without a lock; a scrape may see a histogram between two of its adds.</summary>
internal sealed class MetricSeries(double[]? bounds)
{
    private readonly long[]? _buckets = bounds is null ? null : new long[bounds.Length + 1];
    private double _value;
    private long _scrape;

    /// <summary>The value of a counter or gauge, the sum of a histogram.</summary>
    public double Value => Volatile.Read(ref _value);

    public ReadOnlySpan<long> Buckets => _buckets;

    /// <summary>The scrape that last saw this observed series; older ones are left out.</summary>
    public long Scrape => Volatile.Read(ref _scrape);

    public void Add(double amount)
    {
        var seen = Volatile.Read(ref _value);
        while (true)
        {
            var before = Interlocked.CompareExchange(ref _value, seen + amount, seen);
            if (before.Equals(seen))
            {
                return;
            }

            seen = before;
        }
    }

    public void Set(double value, long scrape)
    {
        Volatile.Write(ref _value, value);
        Volatile.Write(ref _scrape, scrape);
    }

    public void Record(double value)
    {
        var index = Array.BinarySearch(bounds!, value);
        Interlocked.Increment(ref _buckets![index < 0 ? ~index : index]); // a bound belongs to its own bucket: le
        Add(value);
    }
}
