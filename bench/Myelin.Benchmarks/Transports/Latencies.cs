using System.Diagnostics;

namespace Myelin.Benchmarks.Transports;

/// <summary>How long one thing takes, over rounds that other things take turns with: a neighbour's burst hits one round, not one row.</summary>
internal sealed class Latencies
{
    private double[] _best = [];

    /// <summary>Microseconds of the median call in the quietest round.</summary>
    public double P50 => At(0.5);

    /// <summary>Of the same round.</summary>
    public double P99 => At(0.99);

    /// <summary>Calls for <paramref name="duration"/>, at least <paramref name="least"/>, one after the other.</summary>
    public async Task RoundAsync(Func<ValueTask> call, TimeSpan duration, int least = 10)
    {
        for (var warm = Stopwatch.StartNew(); warm.Elapsed < duration / 5;)
        {
            await call();
        }

        var taken = new List<double>();
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < duration || taken.Count < least;)
        {
            var start = Stopwatch.GetTimestamp();
            await call();
            taken.Add(Stopwatch.GetElapsedTime(start).TotalMicroseconds);
        }

        double[] round = [.. taken.Order()];
        if (_best.Length == 0 || round[round.Length / 2] < P50)
        {
            _best = round;
        }
    }

    private double At(double quantile) => _best[(int)(quantile * (_best.Length - 1))];
}
