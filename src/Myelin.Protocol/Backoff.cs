namespace Myelin.Protocol;

/// <summary>How long to wait before something that failed is tried again: calls, jobs, webhooks, sidecars alike.</summary>
internal static class Backoff
{
    private const double Jitter = 0.25;

    /// <summary>
    /// Doubles with each failure; a quarter of jitter either way, so that what failed together does not return together,
    /// also once the longest is reached.
    /// </summary>
    /// <param name="first">After the first failure.</param>
    /// <param name="failures">In a row; 1 for the first.</param>
    /// <param name="longest">Never more.</param>
    public static TimeSpan After(TimeSpan first, int failures, TimeSpan longest)
    {
        var doubled = first.TotalSeconds * Math.Pow(2, Math.Clamp(failures - 1, 0, 30));
#pragma warning disable CA5394 // jitter, not a secret
        var jitter = 1 - Jitter + (2 * Jitter * Random.Shared.NextDouble());
#pragma warning restore CA5394
        return TimeSpan.FromSeconds(Math.Min(doubled, longest.TotalSeconds / (1 + Jitter)) * jitter);
    }
}
