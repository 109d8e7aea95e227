using System.Text.Json;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// Why attempts and frames failed, for whoever runs the server: a line each, at most <see cref="Most"/> a minute, then
/// their number. One line of the fault's message, cut, and without the text that the caller had sent: a log is read by
/// others than the answer. The whole fault is there at Debug. Any thread.
/// </summary>
internal sealed partial class FailureLog(TimeProvider time, ILogger<FailureLog> logger)
{
    public const int Most = 20;
    public const int Length = 300;
    private static readonly TimeSpan s_window = TimeSpan.FromMinutes(1);

    /// <summary>Shorter texts are words of any message ("a", "png"), not a caller's secret.</summary>
    private const int ShortestInput = 4;

    private readonly Lock _gate = new();
    private long _began;
    private int _written;
    private int _suppressed;

    /// <param name="what">Job and attempt, or frame: ids of ours.</param>
    /// <param name="model">What failed it.</param>
    /// <param name="parameters">What the caller sent; JSON or nothing.</param>
    public void Write(string what, string model, ReadOnlyMemory<byte> parameters, Exception fault)
    {
        LogWhole(what, model, fault);
        if (!Admit(out var suppressed))
        {
            return;
        }

        if (suppressed > 0)
        {
            LogSuppressed(suppressed);
        }

        LogFailed(what, model, fault.GetType().Name, Line(fault.Message, parameters));
    }

    private bool Admit(out int suppressed)
    {
        lock (_gate)
        {
            suppressed = 0;
            if (_written == 0 || time.GetElapsedTime(_began) >= s_window)
            {
                (suppressed, _suppressed, _written, _began) = (_suppressed, 0, 0, time.GetTimestamp());
            }

            if (_written == Most)
            {
                _suppressed++;
                return false;
            }

            _written++;
            return true;
        }
    }

    private static string Line(string message, ReadOnlyMemory<byte> parameters)
    {
        foreach (var text in Texts(parameters).OrderByDescending(t => t.Length))
        {
            message = message.Replace(text, "[input]", StringComparison.OrdinalIgnoreCase);
        }

        message = message.TrimStart();
        var end = message.AsSpan().IndexOfAny('\r', '\n') is >= 0 and var line ? line : message.Length;
        return end > Length ? message[..Length] + "…" : message[..end];
    }

    private static List<string> Texts(ReadOnlyMemory<byte> parameters)
    {
        var texts = new List<string>();
        try
        {
            if (!parameters.IsEmpty)
            {
                using var json = JsonDocument.Parse(parameters);
                Gather(json.RootElement, texts);
            }
        }
        catch (JsonException)
        {
            // Not JSON: it was refused for that, and the refusal quotes none of it.
        }

        return texts;
    }

    private static void Gather(JsonElement value, List<string> texts)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String when value.GetString() is { Length: >= ShortestInput } text:
                texts.Add(text);
                break;
            case JsonValueKind.Array:
                foreach (var item in value.EnumerateArray())
                {
                    Gather(item, texts);
                }

                break;
            case JsonValueKind.Object:
                foreach (var property in value.EnumerateObject())
                {
                    Gather(property.Value, texts);
                }

                break;
        }
    }

    [LoggerMessage(LogLevel.Warning, "{What} failed on {Model}: {Fault}: {Message}")]
    private partial void LogFailed(string what, string model, string fault, string message);

    [LoggerMessage(LogLevel.Warning, "{Count} more attempts failed since; the metrics count them")]
    private partial void LogSuppressed(int count);

    [LoggerMessage(LogLevel.Debug, "{What} failed on {Model}")]
    private partial void LogWhole(string what, string model, Exception e);
}
