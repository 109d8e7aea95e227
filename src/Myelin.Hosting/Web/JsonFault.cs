using System.Text.Json;

namespace Myelin.Hosting.Web;

/// <summary>Tells a caller where JSON breaks. Positions count from one, as editors do.</summary>
internal static class JsonFault
{
    public static Problem ToProblem(JsonException exception)
    {
        var where = exception.LineNumber is { } line
            ? $"line {line + 1}, byte {(exception.BytePositionInLine ?? 0) + 1}: "
            : "";
        return Problems.Of(ProblemTypes.MalformedRequest, $"the JSON breaks at {where}{Reason(exception.Message)}");
    }

    /// <summary>The fault without a position.</summary>
    public static string Reason(JsonException exception) => Reason(exception.Message);

    // The framework's sentence ends with its own zero-based position; ours stands in front.
    private static string Reason(string message)
    {
        var end = message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        var path = message.IndexOf(" Path:", StringComparison.Ordinal);
        end = (end, path) switch
        {
            ( < 0, < 0) => message.Length,
            ( < 0, _) => path,
            (_, < 0) => end,
            _ => Math.Min(end, path),
        };
        return message[..end];
    }
}
