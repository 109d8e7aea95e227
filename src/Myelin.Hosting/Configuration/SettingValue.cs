using System.Globalization;
using Myelin.Inference.Models;

namespace Myelin.Hosting.Configuration;

/// <summary>Reads a setting's text: numbers, booleans, durations (<c>500ms</c>, <c>30s</c>, <c>7d</c>), sizes (<c>64MiB</c>).</summary>
internal static class SettingValue
{
    private static readonly (string Suffix, long Bytes)[] s_sizes =
        [("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

    /// <summary>Characters of a text; names of files and connection strings are far shorter.</summary>
    private const int Longest = 4096;

    /// <summary>The value, or null with an <paramref name="error"/> that tells the cure.</summary>
    public static object? Parse(Setting setting, string text, out string? error)
    {
        if (text.Length > (setting.Type == typeof(string) ? Longest : 100))
        {
            error = $"has {text.Length} characters, too many for {Expected(setting.Type)}";
            return null;
        }

        if (text.Any(char.IsControl))
        {
            error = $"has control characters, and is to be {Expected(setting.Type)}";
            return null;
        }

        object? value = setting.Type switch
        {
            var t when t == typeof(string) => text,
            var t when t == typeof(bool) => Boolean(text),
            var t when t == typeof(int) => int.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : null,
            var t when t == typeof(long) => Size(text),
            var t when t == typeof(double) => double.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : null,
            var t when t == typeof(TimeSpan) => Duration(text),
            var t => throw new InvalidOperationException($"{setting.Key} is of type {t}, which settings do not have"),
        };
        error = value switch
        {
            null => $"'{text}' is not {Expected(setting.Type)}",
            _ when setting.Choices is { } choices && !choices.Contains(text) => $"'{text}' is not one of {string.Join(", ", choices)}",
            "" when setting.Default is "" => null,
            string _ when text.Trim().Length == 0 => "is empty; leave it out for the default",
            string _ when setting.Form?.Wrong(text) is { } wrong => wrong,
            _ when setting.Range is { } range && !range.IsValid(value) => $"{text} is outside {range.Minimum}..{range.Maximum}",
            _ => null,
        };
        return error is null ? value : null;
    }

    /// <summary>A duration such as <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c>, <c>7d</c> or <c>00:00:30</c>; null for anything else.</summary>
    public static TimeSpan? Duration(string text) =>
        Durations.Parse(text)
        ?? (text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var span) && span >= TimeSpan.Zero ? span : null);

    /// <summary>How a default is printed by <c>--help</c>, in a form that <see cref="Parse"/> reads back.</summary>
    public static string Format(object? value) => value switch
    {
        null or "" => "none",
        bool flag => flag ? "true" : "false",
        TimeSpan span => Durations.Units.Reverse().Select(d => (d.Suffix, Count: span.TotalSeconds / d.Seconds))
            .First(d => d.Suffix == "ms" || (d.Count >= 1 && d.Count == Math.Floor(d.Count))) is var (suffix, count)
            ? count.ToString(CultureInfo.InvariantCulture) + suffix : "",
        long bytes when bytes >= 1024 && bytes % 1024 == 0 => s_sizes[..3].Last(s => bytes % s.Bytes == 0) is var (suffix, size)
            ? (bytes / size).ToString(CultureInfo.InvariantCulture) + suffix : "",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    private static object? Boolean(string text) => text.ToLowerInvariant() switch
    {
        "true" or "1" or "yes" or "on" => true,
        "false" or "0" or "no" or "off" => false,
        _ => null,
    };

    private static object? Size(string text)
    {
        foreach (var (suffix, bytes) in s_sizes)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal)
                && double.TryParse(text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
            {
                return (long)(number * bytes);
            }
        }

        return long.TryParse(text, CultureInfo.InvariantCulture, out var plain) ? plain : null;
    }

    private static string Expected(Type type) => type switch
    {
        var t when t == typeof(string) => "a text",
        var t when t == typeof(bool) => "true or false",
        var t when t == typeof(int) => "a whole number",
        var t when t == typeof(long) => "a size, such as 1048576 or 64MiB",
        var t when t == typeof(double) => "a number",
        _ => "a duration, such as 500ms, 30s, 5m, 2h or 7d",
    };
}
