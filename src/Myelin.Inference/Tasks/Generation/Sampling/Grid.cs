namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Timesteps laid over the training's, and interpolation between tabulated values, as NumPy does both.</summary>
internal static class Grid
{
    /// <summary>Element <paramref name="i"/> of <paramref name="count"/> evenly spaced numbers, ends included.</summary>
    public static double Between(double first, double last, int count, int i) =>
        count == 1 ? first : i == count - 1 ? last : first + (i * ((last - first) / (count - 1)));

    /// <summary>Descending timesteps of the single-step samplers.</summary>
    /// <param name="config">Spacing, offset, training length.</param>
    /// <param name="steps">How many.</param>
    /// <param name="whole">Rounds those of linspace spacing to whole numbers.</param>
    public static double[] Timesteps(SchedulerConfig config, int steps, bool whole)
    {
        var n = config.TrainTimesteps;
        return config.Spacing switch
        {
            Spacing.Leading => [.. Enumerable.Range(0, steps).Select(i => (double)(((steps - 1 - i) * (n / steps)) + config.StepsOffset)).Select(t => Math.Min(t, n - 1))],
            Spacing.Trailing => [.. Enumerable.Range(0, steps).Select(i => Math.Round(n - (i * ((double)n / steps))) - 1)],
            _ => [.. Enumerable.Range(0, steps).Select(i => Between(0, n - 1, steps, steps - 1 - i)).Select(t => whole ? Math.Round(t) : (float)t)],
        };
    }

    /// <summary>Descending whole timesteps of the multistep solvers, which leave out the last of one step more.</summary>
    public static double[] SolverTimesteps(SchedulerConfig config, int steps)
    {
        var n = config.TrainTimesteps;
        return config.Spacing switch
        {
            Spacing.Leading => [.. Enumerable.Range(0, steps).Select(i => (double)(((steps - i) * (n / (steps + 1))) + config.StepsOffset)).Select(t => Math.Min(t, n - 1))],
            Spacing.Trailing => [.. Enumerable.Range(0, steps).Select(i => Math.Round(n - (i * ((double)n / steps))) - 1)],
            _ => [.. Enumerable.Range(0, steps).Select(i => Math.Round(Between(0, n - 1, steps + 1, steps - i)))],
        };
    }

    /// <summary>Linear interpolation in a table over 0, 1, 2 …</summary>
    public static double Interpolate(ReadOnlySpan<double> table, double at)
    {
        var low = Math.Clamp((int)Math.Floor(at), 0, table.Length - 1);
        var high = Math.Min(low + 1, table.Length - 1);
        return table[low] + ((table[high] - table[low]) * Math.Clamp(at - low, 0, 1));
    }
}
