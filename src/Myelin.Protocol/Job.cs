using System.Text.Json;
using System.Text.Json.Serialization;

namespace Myelin.Protocol;

/// <summary>States of a job. <c>queued → running → succeeded | failed | cancelled | expired</c>.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<JobState>))]
public enum JobState
{
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

public static class JobStates
{
    /// <summary>True for a state that a job never leaves.</summary>
    public static bool IsEnd(this JobState state) => state > JobState.Running;
}

/// <summary>Classes of service. <c>low</c> is never starved; see the weights in the options.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<JobPriority>))]
public enum JobPriority
{
    High,
    Normal,
    Low,
}

/// <summary>What <c>POST /v1/jobs</c> takes as JSON. In multipart the same names are form fields and inputs are file parts.</summary>
public sealed record JobRequest
{
    public string? Model { get; init; }

    /// <summary>
    /// Input parts by name. An image is a base64 string, a <c>data:</c> URL, or <c>{"url": …}</c> where URLs are allowed;
    /// a json part is any JSON.
    /// </summary>
    public IReadOnlyDictionary<string, JsonElement>? Input { get; init; }

    public JsonElement? Parameters { get; init; }

    public JobPriority? Priority { get; init; }

    /// <summary>Jobs of one tenant with the same key run one at a time in the order of acceptance.</summary>
    public string? Key { get; init; }

    /// <summary>A job not started by then becomes <c>expired</c>.</summary>
    public DateTimeOffset? Deadline { get; init; }

    public JobCallback? Callback { get; init; }
}

/// <summary>A webhook: the finished job is posted to <paramref name="Url"/>, signed with <paramref name="Secret"/>.</summary>
/// <param name="Url">http(s), never a private address unless the options allow it.</param>
/// <param name="Secret">Key of the HMAC-SHA256 signature; without one the server's own is used. Never given back.</param>
public sealed record JobCallback(string Url, string? Secret = null);

/// <summary>One job as every client sees it.</summary>
public sealed record Job
{
    public required string Id { get; init; }

    public string Object { get; init; } = "job";

    public required string Model { get; init; }

    public required JobState State { get; init; }

    public JobPriority Priority { get; init; } = JobPriority.Normal;

    public string? Key { get; init; }

    /// <summary>Attempts begun so far.</summary>
    public int Attempt { get; init; }

    public JobProgress? Progress { get; init; }

    /// <summary>Jobs of this model that go before this one; only while queued.</summary>
    public int? Position { get; init; }

    /// <summary>Expected seconds until the start, from the measured service rate; only while queued and once known.</summary>
    public double? EtaSeconds { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public DateTimeOffset? EndedAt { get; init; }

    public DateTimeOffset? Deadline { get; init; }

    /// <summary>When result and artifacts are deleted; later calls answer 410.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    public JsonElement? Parameters { get; init; }

    public IReadOnlyList<JobArtifact> Inputs { get; init; } = [];

    public IReadOnlyList<JobArtifact> Artifacts { get; init; } = [];

    public JsonElement? Result { get; init; }

    public Problem? Error { get; init; }
}

/// <summary>How far a running job is.</summary>
/// <param name="Fraction">0..1.</param>
/// <param name="Preview">URL of a preview picture, when there is one.</param>
public sealed record JobProgress(int Step, int Steps, double Fraction, double? SecondsPerStep = null, string? Preview = null);

/// <summary>A stored blob of a job.</summary>
/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Lower-case hex of the content.</param>
/// <param name="Url">Where the bytes are; relative to the server. Null for inputs of other forms.</param>
public sealed record JobArtifact(string Name, string ContentType, long Size, string Sha256, string? Url = null);

/// <summary>Something that happened to a job, as sent over SSE: <c>state</c>, <c>progress</c> or <c>end</c>.</summary>
/// <param name="Id">Grows strictly within a job, also over attempts: the value of <c>Last-Event-ID</c>.</param>
/// <param name="Kind">The SSE event name.</param>
/// <param name="Job">The job after the event.</param>
public sealed record JobEvent(long Id, string Kind, Job Job);

/// <summary>A page of a list.</summary>
public sealed record Page<T>(IReadOnlyList<T> Data, string? NextCursor = null)
{
    public string Object { get; init; } = "list";
}
