using System.Globalization;

namespace Myelin.Server.Web;

/// <summary>Durations in addresses: <c>500ms</c>, <c>30s</c>, <c>2m</c>, or a bare number of seconds.</summary>
internal static class Duration
{
    public static bool TryParse(ReadOnlySpan<char> text, out TimeSpan duration)
    {
        duration = default;
        var (cut, seconds) = text switch
        {
            _ when text.EndsWith("ms") => (2, 0.001),
            _ when text.EndsWith("s") => (1, 1d),
            _ when text.EndsWith("m") => (1, 60d),
            _ => (0, 1d),
        };
        if (!double.TryParse(text[..^cut], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value) || !(value * seconds is >= 0 and <= 86_400))
        {
            return false;
        }

        duration = TimeSpan.FromSeconds(value * seconds);
        return true;
    }
}
