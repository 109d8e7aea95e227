using System.Collections.Immutable;
using Myelin.Server.Jobs;

namespace Myelin.Server.Storage;

/// <summary>
/// The truth about jobs. Every method is one atomic step; writes return after they are durable. Time comes from the
/// caller's <see cref="TimeProvider"/>. One conformance suite runs on every implementation.
/// </summary>
internal interface IJobStore
{
    /// <summary>Stores a queued job, unless its idempotency key is known or its model's queue is full.</summary>
    ValueTask<InsertResult> InsertAsync(JobRecord job, int queueLimit, CancellationToken cancellationToken);

    /// <summary>Takes a queued job: running, attempt + 1, fresh lease. Refused while an earlier job of the same key is not ended.</summary>
    ValueTask<ClaimResult> ClaimAsync(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken);

    /// <summary>Extends leases; returns the ids that are no longer the caller's, and those whose cancel was asked for.</summary>
    ValueTask<HeartbeatResult> HeartbeatAsync(IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken);

    /// <summary>Records progress of a running attempt; false when the lease is no longer the caller's.</summary>
    ValueTask<bool> ProgressAsync(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken);

    /// <summary>Ends or requeues a running attempt; null when the lease is no longer the caller's (drop the result).</summary>
    ValueTask<JobRecord?> ApplyAsync(string id, string token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken);

    /// <summary>Queued → cancelled at once; running → cancel requested.</summary>
    ValueTask<CancelResult> CancelAsync(string id, DateTimeOffset now, CancellationToken cancellationToken);

    ValueTask<JobRecord?> GetAsync(string id, CancellationToken cancellationToken);

    /// <summary>Newest first; <paramref name="before"/> is the id that ended the page before.</summary>
    ValueTask<ImmutableArray<JobRecord>> ListAsync(JobFilter filter, string? before, int limit, CancellationToken cancellationToken);

    /// <summary>Every queued job in order of acceptance, in pages: what a dispatcher needs after a start.</summary>
    ValueTask<ImmutableArray<JobHint>> QueuedAsync(string? after, int limit, CancellationToken cancellationToken);

    /// <summary>Running jobs whose lease ran out → queued, failed (attempts used up) or cancelled (if asked); queued past their deadline → expired.</summary>
    ValueTask<ImmutableArray<JobRecord>> RecoverAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken);

    /// <summary>Marks ended jobs past retention as purged and returns their ids, so that their blobs can be deleted.</summary>
    ValueTask<ImmutableArray<string>> PurgeAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken);

    /// <summary>Jobs that go before this one in its model's queue.</summary>
    ValueTask<int> PositionAsync(JobRecord job, CancellationToken cancellationToken);

    /// <summary>Queued jobs of a model; cheap.</summary>
    int QueueDepth(string model);
}

/// <param name="Token">Fresh and unguessable.</param>
internal sealed record JobLease(string Worker, string Token, DateTimeOffset Until);

/// <summary>Where to look: enough to choose the next job without reading the row.</summary>
internal sealed record JobHint(string Id, string Model, JobPriority Priority, string Tenant, string? Key, DateTimeOffset? NotBefore);

internal sealed record JobFilter(string? Tenant = null, string? Model = null, JobState? State = null);

internal enum InsertStatus
{
    Inserted,

    /// <summary>The same idempotency key and body: <see cref="InsertResult.Job"/> is the first job.</summary>
    Duplicate,

    /// <summary>The same idempotency key with another body.</summary>
    Mismatch,
    QueueFull,

    /// <summary>The disk is full; nothing was stored.</summary>
    StorageFull,
}

internal sealed record InsertResult(InsertStatus Status, JobRecord? Job = null);

internal enum ClaimStatus
{
    Claimed,

    /// <summary>Ended, cancelled or claimed by somebody else.</summary>
    Gone,

    /// <summary>An earlier job of the same key has not ended.</summary>
    KeyBusy,

    /// <summary>Its back-off has not passed.</summary>
    NotYet,
}

internal sealed record ClaimResult(ClaimStatus Status, JobRecord? Job = null);

internal sealed record HeartbeatResult(ImmutableArray<string> Lost, ImmutableArray<string> CancelRequested);

internal enum CancelStatus
{
    Cancelled,
    Requested,
    AlreadyEnded,
    NotFound,
}

internal sealed record CancelResult(CancelStatus Status, JobRecord? Job = null);

/// <summary>How an attempt ended. <see cref="RetryAt"/> set = back to the queue, not before then.</summary>
internal sealed record JobOutcome(JobState State)
{
    public ReadOnlyMemory<byte>? Result { get; init; }

    public ImmutableArray<JobArtifact> Artifacts { get; init; } = [];

    public Problem? Error { get; init; }

    public DateTimeOffset? RetryAt { get; init; }

    public DateTimeOffset? ExpiresAt { get; init; }
}
