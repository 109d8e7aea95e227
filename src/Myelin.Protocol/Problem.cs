using System.Text.Json.Serialization;

namespace Myelin.Protocol;

/// <summary>RFC 9457 problem details. <see cref="Type"/> is stable; <see cref="Detail"/> tells the cure.</summary>
public sealed record Problem
{
    public const string ContentType = "application/problem+json";

    /// <summary>Stable kind, such as <c>/problems/queue-full</c>; see <see cref="ProblemTypes"/>.</summary>
    public required string Type { get; init; }

    public required string Title { get; init; }

    public int Status { get; init; }

    public string? Detail { get; init; }

    public string? Instance { get; init; }

    /// <summary>Wrong fields: path → what is wrong and the cure.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, string>? Errors { get; init; }
}

/// <summary>Every stable problem type of the API.</summary>
public static class ProblemTypes
{
    public const string InvalidInput = "/problems/invalid-input";
    public const string MalformedRequest = "/problems/malformed-request";
    public const string UnsupportedMediaType = "/problems/unsupported-media-type";
    public const string TooLarge = "/problems/too-large";
    public const string UnknownModel = "/problems/unknown-model";
    public const string ModelUnavailable = "/problems/model-unavailable";
    public const string NotFound = "/problems/not-found";
    public const string Gone = "/problems/gone";
    public const string MethodNotAllowed = "/problems/method-not-allowed";
    public const string RequestTimeout = "/problems/request-timeout";
    public const string NotReady = "/problems/not-ready";
    public const string NoResult = "/problems/no-result";
    public const string RangeNotSatisfiable = "/problems/range-not-satisfiable";
    public const string RateLimited = "/problems/rate-limited";
    public const string AlreadyEnded = "/problems/already-ended";
    public const string IdempotencyMismatch = "/problems/idempotency-mismatch";
    public const string QueueFull = "/problems/queue-full";
    public const string StorageFull = "/problems/storage-full";
    public const string StorageUnavailable = "/problems/storage-unavailable";
    public const string Unauthorized = "/problems/unauthorized";
    public const string Forbidden = "/problems/forbidden";
    public const string ForeignOrigin = "/problems/foreign-origin";
    public const string RuntimeFailed = "/problems/runtime-failed";
    public const string RuntimeCrashed = "/problems/runtime-crashed";
    public const string RuntimeDeadline = "/problems/runtime-deadline";
    public const string AttemptsExhausted = "/problems/attempts-exhausted";
    public const string ShuttingDown = "/problems/shutting-down";
    public const string Internal = "/problems/internal";
}
