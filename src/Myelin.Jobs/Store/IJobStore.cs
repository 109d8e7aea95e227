using System.Collections.Immutable;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Work;

namespace Myelin.Jobs.Store;

/// <summary>
/// The truth about jobs. Every method is one atomic step; writes return after they are durable. Time comes from the
/// caller's <see cref="TimeProvider"/>. A job that ends is kept for the retention that the store was opened with, however
/// it ended: ended means that <see cref="JobRecord.ExpiresAt"/> is set. One conformance suite runs on every implementation.
/// Writes other than <see cref="InsertAsync"/> throw <see cref="StorageFullException"/> when there is no space; nothing was stored then.
/// </summary>
internal interface IJobStore
{
    /// <summary>Stores a queued job and its small inputs, unless its idempotency key is known or its model's queue is full for its tenant (<see cref="QueueShare"/>).</summary>
    ValueTask<InsertResult> InsertAsync(JobRecord job, ImmutableArray<SmallInput> inputs, int queueLimit, CancellationToken cancellationToken);

    /// <summary>The content of a small input; null when there is none of this name (it is a blob then, or purged).</summary>
    ValueTask<ReadOnlyMemory<byte>?> ReadInputAsync(string id, string name, CancellationToken cancellationToken);

    /// <summary>Takes a queued job: running, attempt + 1, fresh lease. Refused while an earlier job of the same tenant and key has not ended.</summary>
    ValueTask<ClaimResult> ClaimAsync(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken);

    /// <summary>Extends leases; returns the ids that are no longer the caller's, and those whose cancel was asked for.</summary>
    ValueTask<HeartbeatResult> HeartbeatAsync(IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken);

    /// <summary>Records progress of a running attempt; false when the lease is no longer the caller's.</summary>
    ValueTask<bool> ProgressAsync(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken);

    /// <summary>
    /// Ends or requeues a running attempt; null when the lease is no longer the caller's (drop the result). Once a
    /// cancel was asked for, every outcome becomes cancelled.
    /// </summary>
    ValueTask<JobRecord?> ApplyAsync(string id, string token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken);

    /// <summary>Queued → cancelled at once; running → cancel requested.</summary>
    ValueTask<CancelResult> CancelAsync(string id, DateTimeOffset now, CancellationToken cancellationToken);

    ValueTask<JobRecord?> GetAsync(string id, CancellationToken cancellationToken);

    /// <summary>True when this tenant has used this idempotency key.</summary>
    ValueTask<bool> KnowsAsync(string tenant, string idempotencyKey, CancellationToken cancellationToken);

    /// <summary>Newest first, without parameters and results; <paramref name="before"/> is the id that ended the page before.</summary>
    ValueTask<ImmutableArray<JobRecord>> ListAsync(JobFilter filter, string? before, int limit, CancellationToken cancellationToken);

    /// <summary>
    /// Every queued job, in pages: by model, priority, then order of acceptance. What a dispatcher needs after a start.
    /// </summary>
    /// <param name="after">The last hint of the page before.</param>
    ValueTask<ImmutableArray<JobHint>> QueuedAsync(JobHint? after, int limit, CancellationToken cancellationToken);

    /// <summary>
    /// An attempt that may have been silent for too long comes back. Where nobody has taken its job since, it goes on as
    /// if nothing had been: running, the same attempt and token, nothing charged. Otherwise null, and it is no longer
    /// charged as a failure: its worker lives.
    /// </summary>
    /// <param name="attempt">The job as it was claimed.</param>
    /// <param name="until">As in <see cref="HeartbeatAsync"/>.</param>
    ValueTask<JobRecord?> ReturnAsync(JobRecord attempt, DateTimeOffset until, CancellationToken cancellationToken);

    /// <summary>What running jobs are held by.</summary>
    ValueTask<ImmutableArray<HeldLease>> LeasesAsync(int limit, CancellationToken cancellationToken);

    /// <summary>
    /// Running jobs whose lease lapsed, unless it has changed since it was read → queued, failed (attempts used up) or cancelled (if asked for); queued jobs
    /// that never started and are past their deadline → expired. Returns the changed ones, at most <paramref name="limit"/> of each kind.
    /// </summary>
    ValueTask<ImmutableArray<JobRecord>> RecoverAsync(IReadOnlyCollection<HeldLease> lapsed, DateTimeOffset now, RecoveryPolicy policy, int limit, CancellationToken cancellationToken);

    /// <summary>Marks ended jobs past retention as purged, drops their small inputs and results and returns them, so that their blobs can be deleted.</summary>
    ValueTask<ImmutableArray<PurgedJob>> PurgeAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken);

    /// <summary>Deletes purged jobs whose retention ended before <paramref name="before"/>; returns how many.</summary>
    ValueTask<int> ForgetAsync(DateTimeOffset before, int limit, CancellationToken cancellationToken);

    /// <summary>Of these ids, many at a time: the jobs that are known, and whether they are purged.</summary>
    ValueTask<IReadOnlyDictionary<string, bool>> FindPurgedAsync(IReadOnlyCollection<string> ids, CancellationToken cancellationToken);

    /// <summary>
    /// By id: queued jobs of its model and of its own or a better class that were accepted before this one or go before it
    /// by class. Exact near both ends of its line, an estimate between (<see cref="QueuePositions"/>).
    /// </summary>
    ValueTask<IReadOnlyDictionary<string, int>> PositionsAsync(IReadOnlyCollection<JobRecord> jobs, CancellationToken cancellationToken);

    /// <summary>Queued jobs of a tenant and model, counted up to <paramref name="most"/>.</summary>
    ValueTask<int> CountQueuedAsync(string tenant, string model, int most, CancellationToken cancellationToken);

    /// <summary>Queued jobs of a model; exact and free.</summary>
    int QueueDepth(string model);

    /// <summary>Queued jobs of every model that has some.</summary>
    IReadOnlyDictionary<string, int> QueueDepths();
}

/// <summary>An input that is stored in the row's own commit instead of as a blob.</summary>
internal sealed record SmallInput(string Name, ReadOnlyMemory<byte> Content);

/// <param name="Token">Fresh and unguessable.</param>
/// <param name="Until">How long from the claim on the holder may be silent. As a time it is only there for older versions: who judges goes by a clock of its own.</param>
internal sealed record JobLease(string Worker, string Token, DateTimeOffset Until);

/// <summary>Where to look: enough to choose the next job without reading the row.</summary>
/// <param name="Sequence">Order of acceptance.</param>
/// <param name="Attempt">Claims before this hint; null where that is not known.</param>
internal sealed record JobHint(
    string Id, long Sequence, string Model, JobPriority Priority, string Tenant, string? Key = null, DateTimeOffset? NotBefore = null, int? Attempt = null)
{
    public static JobHint Of(JobRecord job) => new(job.Id, job.Sequence, job.Model, job.Priority, job.Tenant, job.Key, job.NotBefore, job.Attempt);
}

internal sealed record JobFilter(string Tenant, string? Model = null, JobState? State = null);

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

/// <param name="Position">With <see cref="InsertStatus.Inserted"/>: jobs of its model that go before it.</param>
internal sealed record InsertResult(InsertStatus Status, JobRecord? Job = null, int Position = 0);

internal enum ClaimStatus
{
    Claimed,

    /// <summary>Ended, past its deadline, or claimed by somebody else.</summary>
    Gone,

    /// <summary>An earlier job of the same key has not ended.</summary>
    KeyBusy,

    /// <summary>Its back-off has not passed; <see cref="ClaimResult.Job"/> tells until when.</summary>
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

/// <param name="HasBlobs">False where there surely are none: to look for them would cost requests.</param>
internal sealed record PurgedJob(string Id, bool HasBlobs)
{
    /// <summary>Attempts that did not end in success may have stored results that no row names.</summary>
    public static PurgedJob Of(string id, JobState state, int attempt, ReadOnlySpan<byte> inputs, int smallInputs, bool results) =>
        new(id, results || attempt > 1 || (attempt == 1 && state != JobState.Succeeded) || JobColumns.Blobs(inputs).Length > smallInputs);
}

/// <summary>How an attempt ended. <see cref="JobState.Queued"/> = back to the queue, not before <see cref="RetryAt"/>.</summary>
internal sealed record JobOutcome(JobState State)
{
    public ReadOnlyMemory<byte>? Result { get; init; }

    public ImmutableArray<JobArtifact> Artifacts { get; init; } = [];

    public Problem? Error { get; init; }

    public DateTimeOffset? RetryAt { get; init; }

    /// <summary>False where the attempt was given back through no fault of the job (shutdown).</summary>
    public bool CountsAsFailure { get; init; }

    /// <summary>Its worker was silent for too long and may come back: <see cref="IJobStore.ReturnAsync"/>.</summary>
    public bool Lapsed { get; init; }
}

/// <summary>What becomes of jobs whose worker went away.</summary>
internal sealed record RecoveryPolicy
{
    /// <summary>Failed attempts before a job fails.</summary>
    public required int MaxAttempts { get; init; }

    /// <summary>Every lease is an old one, run out or not: the start of the only process that uses this database.</summary>
    public bool AllLeases { get; init; }
}
