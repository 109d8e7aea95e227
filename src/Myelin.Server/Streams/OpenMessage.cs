using System.Globalization;
using Myelin.Server.Bus;
using Myelin.Server.Web;

namespace Myelin.Server.Streams;

/// <summary>What the messages of the open topics have in common; docs/kafka.md is the contract.</summary>
internal static class OpenMessage
{
    public const string ContentType = "content-type";
    public const string FrameId = "frame-id";
    public const string CapturedAt = "captured-at";
    public const string Model = "model";
    public const string Parameters = "parameters";
    public const string Name = "name";
    public const string IdempotencyKey = "idempotency-key";

    private const string TraceParent = "traceparent";

    public static string? Header(this BusMessage message, string name) =>
        message.Headers?.TryGetValue(name, out var value) == true && value.Length > 0 ? value : null;

    /// <summary>An answer to <paramref name="question"/>: same key, same trace, and the headers that tell which question it was.</summary>
    public static BusMessage Answer(BusMessage question, string topic, string contentType, ReadOnlyMemory<byte> payload, params ReadOnlySpan<(string Name, string? Value)> more)
    {
        var headers = new Dictionary<string, string>(8, StringComparer.Ordinal) { [ContentType] = contentType };
        foreach (var (name, value) in more)
        {
            if (value is not null)
            {
                headers[name] = value;
            }
        }

        if (question.Header(TraceParent) is { } trace)
        {
            headers[TraceParent] = trace;
        }

        return new BusMessage(topic, question.Key, payload, headers);
    }

    /// <summary>A wire record as JSON.</summary>
    public static byte[] Json<T>(T value) => JsonReply.Serialize(value).WrittenSpan.ToArray();

    /// <summary>ISO 8601 or milliseconds since 1970; null for anything else.</summary>
    public static DateTimeOffset? Captured(this BusMessage message)
    {
        var text = message.Header(CapturedAt);
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds))
        {
            return milliseconds < 253_402_300_800_000 ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds) : null;
        }

        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null;
    }
}
