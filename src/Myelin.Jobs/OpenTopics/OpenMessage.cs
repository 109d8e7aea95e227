using System.Diagnostics;
using System.Globalization;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Web;

namespace Myelin.Jobs.OpenTopics;

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

    /// <summary>Of a result: names of the pictures that were sent with it.</summary>
    public const string Pictures = "pictures";

    /// <summary>Of an answer: what was left out of it because the bus does not take it.</summary>
    public const string Omitted = "omitted";

    /// <summary>Longest header that is copied into answers, in characters.</summary>
    public const int HeaderLength = 256;

    private const string TraceParent = "traceparent";
    private static readonly string[] s_short = [FrameId, CapturedAt, Model, ContentType, IdempotencyKey];

    public static string? Header(this BusMessage message, string name) =>
        message.Headers?.TryGetValue(name, out var value) == true && value.Length > 0 ? value : null;

    /// <summary>A header that is longer than any honest one, as a problem; null where none is.</summary>
    public static Problem? LongHeader(this BusMessage message) => s_short.FirstOrDefault(name => message.Header(name)?.Length > HeaderLength) is { } name
        ? Problems.Field(ProblemTypes.InvalidInput, name, $"the header has {message.Header(name)!.Length} characters; {HeaderLength} are allowed")
        : null;

    /// <summary>The same answer with other content.</summary>
    public static BusMessage As(this BusMessage answer, string contentType, ReadOnlyMemory<byte> payload) =>
        answer.With(ContentType, contentType) with { Payload = payload };

    /// <summary>The answer with a list in a header; without the header where the list is empty.</summary>
    public static BusMessage With(this BusMessage answer, string name, IReadOnlyCollection<string> values) =>
        values.Count == 0 ? answer : answer.With(name, string.Join(',', values));

    private static BusMessage With(this BusMessage answer, string name, string value) =>
        answer with { Headers = new Dictionary<string, string>(answer.Headers!, StringComparer.Ordinal) { [name] = value } };

    /// <summary>The W3C trace that the sender's work belongs to; null for none, or anything else.</summary>
    public static string? Trace(this BusMessage message) =>
        message.Header(TraceParent) is { } text && ActivityContext.TryParse(text, null, out _) ? text : null;

    /// <summary>An answer to <paramref name="question"/>: same key, same trace, and the headers that tell which question it was.</summary>
    public static BusMessage Answer(BusMessage question, string topic, string contentType, ReadOnlyMemory<byte> payload, params ReadOnlySpan<(string Name, string? Value)> more)
    {
        var headers = new Dictionary<string, string>(8, StringComparer.Ordinal) { [ContentType] = contentType };
        foreach (var (name, value) in more)
        {
            if (value is { Length: <= HeaderLength })
            {
                headers[name] = value;
            }
        }

        // The work's own span where somebody listens, else the question's: one trace either way.
        if ((Activity.Current is { IdFormat: ActivityIdFormat.W3C, Id: { } here } ? here : question.Trace()) is { } trace)
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
