using System.Globalization;

namespace Myelin.Inference.Models;

/// <summary>The one way a duration is written, in settings, models and addresses: <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c>, <c>7d</c>.</summary>
public static class Durations
{
    public static readonly IReadOnlyList<(string Suffix, double Seconds)> Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

    private static readonly TimeSpan s_longest = TimeSpan.FromDays(3650);

    /// <summary>Null for anything else, and for more than ten years.</summary>
    public static TimeSpan? Parse(string text)
    {
        foreach (var (suffix, seconds) in Units)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal)
                && double.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
                && number * seconds is >= 0 and var sum && sum < s_longest.TotalSeconds)
            {
                return TimeSpan.FromSeconds(sum);
            }
        }

        return null;
    }
}
