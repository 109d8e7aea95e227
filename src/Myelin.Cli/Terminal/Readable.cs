namespace Myelin.Cli.Terminal;

internal static class Readable
{
    /// <summary>
    /// A string from elsewhere, safe to print: control characters become U+FFFD, so that a label cannot move the cursor
    /// or write to the clipboard.
    /// </summary>
    public static string Plain(string text) =>
        text.Any(char.IsControl) ? string.Concat(text.Select(c => char.IsControl(c) ? '\uFFFD' : c)) : text;

    public static string Bytes(long bytes) => bytes switch
    {
        < 1 << 10 => $"{bytes} B",
        < 1 << 20 => $"{bytes / 1024.0:0.#} kB",
        < 1 << 30 => $"{bytes / 1048576.0:0.#} MB",
        _ => $"{bytes / 1073741824.0:0.##} GB",
    };

    public static string Duration(double seconds) => seconds switch
    {
        < 0.9995 => $"{seconds * 1000:0} ms",
        < 60 => $"{seconds:0.0} s",
        < 3600 => $"{(int)seconds / 60} min {(int)seconds % 60} s",
        _ => $"{(int)seconds / 3600} h {(int)seconds / 60 % 60} min",
    };

    /// <summary>How long ago, in the largest unit that fits.</summary>
    public static string Ago(DateTimeOffset then, DateTimeOffset now) => (now - then) switch
    {
        { TotalSeconds: < 60 } d => $"{Math.Max(0, d.TotalSeconds):0} s ago",
        { TotalMinutes: < 60 } d => $"{d.TotalMinutes:0} min ago",
        { TotalHours: < 48 } d => $"{d.TotalHours:0} h ago",
        { } d => $"{d.TotalDays:0} d ago",
    };
}
