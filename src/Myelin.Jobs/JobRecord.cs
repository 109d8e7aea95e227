using System.Collections.Immutable;

namespace Myelin.Jobs;

/// <summary>A job as Storage keeps it. Immutable; JSON columns are UTF-8 and written once.</summary>
internal sealed record JobRecord
{
    /// <summary>ULID-like: sorts by the time of acceptance.</summary>
    public required string Id { get; init; }

    /// <summary>Order of acceptance, given by Storage; 0 before it is stored.</summary>
    public long Sequence { get; init; }

    public required string Tenant { get; init; }

    public required string Model { get; init; }

    public JobPriority Priority { get; init; } = JobPriority.Normal;

    public string? Key { get; init; }

    public ReadOnlyMemory<byte> Parameters { get; init; }

    public ImmutableArray<JobArtifact> Inputs { get; init; } = [];

    public JobState State { get; init; }

    /// <summary>Claims so far.</summary>
    public int Attempt { get; init; }

    /// <summary>Attempts that failed; one given back at a shutdown is not counted.</summary>
    public int Failures { get; init; }

    /// <summary>Proves that the holder still owns the running attempt.</summary>
    public string? LeaseToken { get; init; }

    public string? Worker { get; init; }

    public DateTimeOffset? LeaseUntil { get; init; }

    /// <summary>Not claimed before then (back-off after a failed attempt).</summary>
    public DateTimeOffset? NotBefore { get; init; }

    public DateTimeOffset? Deadline { get; init; }

    public bool CancelRequested { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public DateTimeOffset? EndedAt { get; init; }

    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>True once retention has deleted result and artifacts.</summary>
    public bool Purged { get; init; }

    /// <summary>Id of the newest stored event; see <see cref="EventIds"/>.</summary>
    public long EventId { get; init; }

    public JobProgress? Progress { get; init; }

    public ReadOnlyMemory<byte>? Result { get; init; }

    public ImmutableArray<JobArtifact> Artifacts { get; init; } = [];

    public Problem? Error { get; init; }

    public JobCallback? Callback { get; init; }

    public string? IdempotencyKey { get; init; }

    /// <summary>SHA-256 of what was submitted; tells a repeat from a mistaken reuse of the key.</summary>
    public string? BodyHash { get; init; }

    /// <summary>W3C traceparent of the request.</summary>
    public string? TraceParent { get; init; }
}
