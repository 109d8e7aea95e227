using System.Collections.Immutable;
using System.Diagnostics;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Jobs.Store;
using Myelin.Serving.Models;

namespace Myelin.Jobs;

/// <summary>
/// What the gateway does with jobs: accept, read, wait, watch, cancel, open blobs. The order of acceptance is blobs,
/// row, commit, bus, answer: a job that was answered is whole on disk, whatever dies next.
/// </summary>
internal sealed partial class JobService(
    IJobStore store,
    IArtifacts artifacts,
    JobInputs inputs,
    IBus bus,
    JobEvents events,
    JobAnnouncer announcer,
    ServiceRates rates,
    QueueRoom room,
    DiskSpace disk,
    JobInstruments instruments,
    JobIds ids,
    SettleParameters settle,
    MyelinOptions options,
    TimeProvider time,
    ILogger<JobService> logger)
{
    /// <summary>How long <see cref="CancelAsync"/> waits for a running job to stop before it answers.</summary>
    private static readonly TimeSpan s_cancelWait = TimeSpan.FromSeconds(1);

    private volatile bool _closed;

    /// <summary>From here on submissions are refused; reading goes on.</summary>
    public void Close() => _closed = true;

    public async ValueTask<SubmitResult> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken)
    {
        using var activity = StartAccept(submission);
        instruments.Submitted(submission.Model);
        var result = await RefuseEarlyAsync(submission, cancellationToken)
            ?? await StoreAsync(submission, activity, cancellationToken);
        if (result.Status is SubmitStatus.Accepted)
        {
            instruments.Accepted(submission.Model);
        }
        else if (result.Status is not SubmitStatus.Repeated)
        {
            instruments.Rejected(submission.Model, result.Status);
        }

        return result;
    }

    /// <summary>The job with its newest progress; null when unknown.</summary>
    public async ValueTask<JobRecord?> GetAsync(string id, CancellationToken cancellationToken) =>
        JobIds.IsValid(id) && await store.GetAsync(id, cancellationToken) is { } job ? events.WithLiveProgress(job) : null;

    /// <summary>The job once it has ended, or as it is after <paramref name="timeout"/>; null when unknown.</summary>
    public async ValueTask<JobRecord?> WaitAsync(string id, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (await GetAsync(id, cancellationToken) is not { } job || job.State.IsEnd() || timeout <= TimeSpan.Zero)
        {
            return await GetAsync(id, cancellationToken);
        }

        using var late = new CancellationTokenSource(timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            await foreach (var update in events.WatchAsync(id, null, either.Token))
            {
                job = update.Job;
            }

            return job;
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return await GetAsync(id, cancellationToken);
        }
    }

    /// <summary>The job now (unless <paramref name="lastEventId"/> has it) and every change until the end.</summary>
    public IAsyncEnumerable<JobUpdate> EventsAsync(string id, long? lastEventId, CancellationToken cancellationToken) =>
        events.WatchAsync(id, lastEventId, cancellationToken);

    /// <summary>
    /// Cancels: a queued job at once; a running one is asked, and waited for up to a second. A cancel that was answered
    /// always ends in <see cref="JobState.Cancelled"/>, also when the attempt came to a result in the meantime.
    /// </summary>
    public async ValueTask<CancelResult> CancelAsync(string id, CancellationToken cancellationToken)
    {
        if (!JobIds.IsValid(id))
        {
            return new CancelResult(CancelStatus.NotFound);
        }

        var now = time.GetUtcNow();
        var result = await store.CancelAsync(id, now, cancellationToken);
        switch (result.Status)
        {
            case CancelStatus.Cancelled:
                await announcer.ChangedAsync(result.Job!, CancellationToken.None);
                return result;
            case CancelStatus.Requested:
                await bus.PublishCancelAsync(id, CancellationToken.None);
                return result with { Job = await WaitAsync(id, s_cancelWait, cancellationToken) };
            default:
                return result;
        }
    }

    /// <summary>
    /// The caller that waited for this job left. It is cancelled only where nobody is there to take its result: no key
    /// promises it to a repeat, no callback is told of it, and nobody else watches it here.
    /// </summary>
    public async ValueTask LeaveAsync(JobRecord job)
    {
        if (job.IdempotencyKey is null && job.Callback is null && !events.IsWatched(job.Id))
        {
            LogLeft(job.Id);
            await CancelAsync(job.Id, CancellationToken.None);
        }
    }

    /// <summary>Newest first, without parameters and results.</summary>
    /// <param name="filter">What to list.</param>
    /// <param name="before">The last id of the page before; null for the first page.</param>
    /// <param name="limit">1..<see cref="Limits.PageSize"/>.</param>
    public ValueTask<ImmutableArray<JobRecord>> ListAsync(JobFilter filter, string? before, int limit, CancellationToken cancellationToken) =>
        store.ListAsync(filter, before, Math.Clamp(limit, 1, Limits.PageSize), cancellationToken);

    /// <summary>A blob of the job by the name in its URL (results, and inputs as <c>input-name</c>); seekable; null when there is none.</summary>
    public async ValueTask<(JobArtifact Blob, Stream Content)?> OpenArtifactAsync(JobRecord job, string name, CancellationToken cancellationToken) =>
        FindArtifact(job, name) is var (blob, sent)
            && (sent
                ? await inputs.OpenAsync(job.Id, blob, cancellationToken)
                : await artifacts.OpenAsync(job.Id, JobBlobs.ResultName(job.Attempt, name), cancellationToken)) is { } content
            ? (blob, content)
            : null;

    /// <summary>Where whoever holds the address reads a blob from the store itself; null when the blob or such a store is not there.</summary>
    public Uri? LinkArtifact(JobRecord job, string name, Func<JobArtifact, string> disposition) =>
        FindArtifact(job, name) is not var (blob, sent) ? null
            : sent ? inputs.Link(job.Id, blob, disposition(blob))
            : artifacts.Link(job.Id, JobBlobs.ResultName(job.Attempt, name), blob.ContentType, disposition(blob));

    /// <summary>The newest preview of a running job, a JPEG; null when there is none.</summary>
    public ReadOnlyMemory<byte>? FindPreview(string id) => events.Previews.Find(id);

    /// <summary>The job as clients see it, with position and expected start while it waits.</summary>
    public async ValueTask<Job> DescribeAsync(JobRecord job, CancellationToken cancellationToken) => (await DescribeAsync([job], cancellationToken))[0];

    /// <inheritdoc cref="DescribeAsync(JobRecord, CancellationToken)"/>
    public async ValueTask<List<Job>> DescribeAsync(ImmutableArray<JobRecord> page, CancellationToken cancellationToken)
    {
        List<JobRecord> queued = [.. page.Where(j => j.State == JobState.Queued)];
        var positions = queued.Count == 0 ? null : await store.PositionsAsync(queued, cancellationToken);
        return [.. page.Select(j => Describe(j, positions is not null && positions.TryGetValue(j.Id, out var position) ? position : null))];
    }

    /// <summary>The job as clients see it, its position known already (or not wanted: null).</summary>
    public Job Describe(JobRecord job, int? position) =>
        JobView.Of(job, position, position is { } p ? rates.Eta(job.Model, p) : null);

    public ModelStatistics Statistics(string model)
    {
        var (succeeded, failed, running, seconds) = rates.Of(model);
        return new ModelStatistics(succeeded, failed, store.QueueDepth(model), running, seconds);
    }

    private static (JobArtifact Blob, bool Sent)? FindArtifact(JobRecord job, string name) =>
        job.Inputs.FirstOrDefault(i => JobBlobs.InputName(i.Name) == name) is { } input ? (input, true)
            : job.Artifacts.FirstOrDefault(a => a.Name == name) is { } result ? (result, false)
            : null;

    private static Activity? StartAccept(JobSubmission submission)
    {
        var activity = JobInstruments.Activities.StartActivity("job accept", ActivityKind.Producer, submission.TraceParent);
        activity?.SetTag("myelin.model", submission.Model);
        return activity;
    }

    /// <summary>
    /// What is refused whatever the submission says, for a look before its pictures are checked; null when it may go on.
    /// Not for a repeat of an idempotency key, which a full queue does not refuse.
    /// </summary>
    public async ValueTask<SubmitResult?> RefuseUnseenAsync(string tenant, string model, CancellationToken cancellationToken)
    {
        if (_closed)
        {
            return new SubmitResult(SubmitStatus.ShuttingDown);
        }

        if (!await room.IsFullAsync(tenant, model, cancellationToken))
        {
            return null;
        }

        instruments.Submitted(model);
        instruments.Rejected(model, SubmitStatus.QueueFull);
        return QueueFull(model);
    }

    /// <summary>Refusals that need no disk: a full queue is answered in microseconds, before any blob is touched.</summary>
    private async ValueTask<SubmitResult?> RefuseEarlyAsync(JobSubmission submission, CancellationToken cancellationToken)
    {
        if (_closed)
        {
            return new SubmitResult(SubmitStatus.ShuttingDown);
        }

        if (await room.IsFullAsync(submission.Tenant, submission.Model, cancellationToken)
            && (submission.IdempotencyKey is null || !await store.KnowsAsync(submission.Tenant, submission.IdempotencyKey, cancellationToken)))
        {
            return QueueFull(submission.Model);
        }

        return disk.IsLow() ? new SubmitResult(SubmitStatus.StorageFull) : null;
    }

    /// <summary>What becomes of the blobs changes nothing of what the caller hears: the sweep takes those that stay.</summary>
    private async Task DiscardAsync(string id)
    {
        try
        {
            await artifacts.DeleteAsync([id], CancellationToken.None);
        }
        catch (Exception e) when (e is ArtifactsUnavailableException or ArtifactsUndeletableException)
        {
            LogNotDiscarded(id, e);
        }
    }

    private async ValueTask<SubmitResult> StoreAsync(JobSubmission submission, Activity? activity, CancellationToken cancellationToken)
    {
        var id = ids.Next();
        var inserted = new InsertResult(InsertStatus.StorageFull);
        var blobs = !submission.Files.IsEmpty;
        try
        {
            var (described, small) = await inputs.AcceptAsync(id, submission.Files, cancellationToken);
            var job = NewJob(id, submission, described, activity);
            blobs = small.Length < described.Length;
            inserted = await store.InsertAsync(job, small, options.Jobs.QueueLimit, cancellationToken);
        }
        catch (ArtifactsFullException e)
        {
            LogDiskFull(e);
        }
        catch (StorageUnavailableException)
        {
            // Perhaps stored: the blobs stay, and the sweep takes them where there is no row.
            blobs = false;
            throw;
        }
        catch (ArtifactsUnavailableException)
        {
            blobs = false; // nor could they be deleted now; the sweep takes those that were stored
            throw;
        }
        finally
        {
            if (inserted.Status != InsertStatus.Inserted && blobs)
            {
                await DiscardAsync(id);
            }
        }

        switch (inserted.Status)
        {
            case InsertStatus.Inserted:
                // Committed: from here on the caller's leaving changes nothing.
                await announcer.AcceptedAsync(inserted.Job!, CancellationToken.None);
                return new SubmitResult(SubmitStatus.Accepted, inserted.Job, Position: inserted.Position);
            case InsertStatus.Duplicate:
                return new SubmitResult(SubmitStatus.Repeated, inserted.Job);
            case InsertStatus.Mismatch:
                return new SubmitResult(SubmitStatus.IdempotencyMismatch, inserted.Job);
            case InsertStatus.QueueFull:
                return QueueFull(submission.Model);
            default:
                disk.Recheck();
                return new SubmitResult(SubmitStatus.StorageFull);
        }
    }

    private SubmitResult QueueFull(string model) =>
        new(SubmitStatus.QueueFull, RetryAfter: rates.RetryAfter(model, Math.Max(store.QueueDepth(model) - options.Jobs.QueueLimit, 0)));

    private JobRecord NewJob(string id, JobSubmission submission, ImmutableArray<JobArtifact> described, Activity? activity) => new()
    {
        Id = id,
        Tenant = submission.Tenant,
        Model = submission.Model,
        Priority = submission.Priority,
        Key = submission.Key,
        Deadline = submission.Deadline,
        Callback = submission.Callback,
        Parameters = settle(submission.Model, submission.Parameters),
        Inputs = described,
        CreatedAt = time.GetUtcNow(),
        IdempotencyKey = submission.IdempotencyKey,
        BodyHash = submission.IdempotencyKey is null ? null : BodyHash.Of(submission, described),
        TraceParent = activity?.Id ?? submission.TraceParent,
    };

    [LoggerMessage(LogLevel.Warning, "Blobs of the submission {Job}, which was not accepted, are left to the sweep")]
    private partial void LogNotDiscarded(string job, Exception e);

    [LoggerMessage(LogLevel.Debug, "The caller that waited for job {Id} left; it is cancelled")]
    private partial void LogLeft(string id);

    [LoggerMessage(LogLevel.Warning, "The data disk is full; submissions are refused until there is space")]
    private partial void LogDiskFull(Exception e);
}
