namespace Myelin.Inference.Runtimes;

/// <summary>How long to wait before something that failed is tried again.</summary>
public static class Backoff
{
    /// <summary>Doubles with each failure; a quarter of jitter either way, so that what failed together does not return together.</summary>
    /// <param name="first">After the first failure.</param>
    /// <param name="failures">In a row; 1 for the first.</param>
    /// <param name="longest">Never more.</param>
    public static TimeSpan After(TimeSpan first, int failures, TimeSpan longest)
    {
        var doubled = Math.Min(first.TotalSeconds * Math.Pow(2, Math.Clamp(failures - 1, 0, 30)), longest.TotalSeconds);
        return TimeSpan.FromSeconds(Math.Min(doubled * (0.75 + (Random.Shared.NextDouble() / 2)), longest.TotalSeconds));
    }
}
