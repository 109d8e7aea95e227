using System.Collections.Immutable;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Jobs.Store.Sqlite;

internal sealed partial class SqliteJobStore
{
    public async ValueTask<ClaimResult> ClaimAsync(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken) =>
        await Database.WriteAsync(session => Claim(session, id, lease, now), cancellationToken);

    public async ValueTask<HeartbeatResult> HeartbeatAsync(
        IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken) =>
        await Database.WriteAsync(session => Heartbeat(session, leases, until), cancellationToken);

    public async ValueTask<JobRecord?> ReturnAsync(JobRecord attempt, DateTimeOffset until, CancellationToken cancellationToken) =>
        await Database.WriteAsync(session => Return(session, attempt, until), cancellationToken);

    public async ValueTask<bool> ProgressAsync(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken)
    {
        var json = JobColumns.Json(progress, JsonContext.Default.JobProgress);
        return await Database.WriteAsync(
            session =>
            {
                using var update = session.Prepare(
                    "UPDATE jobs SET progress = ?3, event_id = ?4 WHERE id = ?1 AND state = 1 AND lease_token = ?2 AND event_id < ?4");
                update.Bind(1, id);
                update.Bind(2, token);
                update.Bind(3, json);
                update.Bind(4, eventId);
                return update.Run() == 1;
            },
            cancellationToken);
    }

    public async ValueTask<JobRecord?> ApplyAsync(string id, string token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var artifacts = JobColumns.Blobs(outcome.Artifacts);
        var error = JobColumns.Json(outcome.Error, JsonContext.Default.Problem);
        return await Database.WriteAsync(
            session =>
            {
                var job = Find(session, id);
                return job is { State: JobState.Running } && job.LeaseToken == token
                    ? End(session, job, outcome, artifacts, error, now)
                    : null;
            },
            cancellationToken);
    }

    public async ValueTask<CancelResult> CancelAsync(string id, DateTimeOffset now, CancellationToken cancellationToken) =>
        await Database.WriteAsync(session => Cancel(session, id, now), cancellationToken);

    private static HeartbeatResult Heartbeat(SqliteSession session, IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until)
    {
        var lost = ImmutableArray.CreateBuilder<string>();
        var cancelled = ImmutableArray.CreateBuilder<string>();
        foreach (var (id, token) in leases)
        {
            using var update = session.Prepare(
                "UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND state = 1 AND lease_token = ?2 RETURNING cancel_requested");
            update.Bind(1, id);
            update.Bind(2, token);
            update.Bind(3, until);
            if (!update.Step())
            {
                lost.Add(id);
            }
            else if (update.Int32(0) != 0)
            {
                cancelled.Add(id);
            }
        }

        return new HeartbeatResult(lost.DrainToImmutable(), cancelled.DrainToImmutable());
    }

    private static bool KeyBusy(SqliteSession session, JobRecord job)
    {
        using var row = session.Prepare("SELECT 1 FROM jobs WHERE key IS NOT NULL AND state < 2 AND tenant = ?1 AND key = ?2 AND seq < ?3 LIMIT 1");
        row.Bind(1, job.Tenant);
        row.Bind(2, job.Key);
        row.Bind(3, job.Sequence);
        return row.Step();
    }

    private ClaimResult Claim(SqliteSession session, string id, JobLease lease, DateTimeOffset now)
    {
        if (Find(session, id) is not { State: JobState.Queued } job || (job.Attempt == 0 && job.Deadline <= now))
        {
            return new ClaimResult(ClaimStatus.Gone);
        }

        if (job.NotBefore > now)
        {
            return new ClaimResult(ClaimStatus.NotYet, job);
        }

        if (job.Key is not null && KeyBusy(session, job))
        {
            return new ClaimResult(ClaimStatus.KeyBusy, job);
        }

        var claimed = job with
        {
            State = JobState.Running,
            Attempt = job.Attempt + 1,
            EventId = EventIds.Claimed(job.Attempt + 1),
            Worker = lease.Worker,
            LeaseToken = lease.Token,
            LeaseUntil = lease.Until,
            StartedAt = now,
            NotBefore = null,
            Progress = null,
            Error = null,
        };
        using var update = session.Prepare(
            """
            UPDATE jobs SET state = 1, attempt = ?2, event_id = ?3, worker = ?4, lease_token = ?5, lease_until = ?6, started_at = ?7, lease_for = ?8,
              not_before = NULL, progress = NULL, error = NULL
            WHERE seq = ?1
            """);
        update.Bind(1, job.Sequence);
        update.Bind(2, claimed.Attempt);
        update.Bind(3, claimed.EventId);
        update.Bind(4, lease.Worker);
        update.Bind(5, lease.Token);
        update.Bind(6, lease.Until);
        update.Bind(7, now);
        update.Bind(8, (lease.Until - now).Ticks / TimeSpan.TicksPerMicrosecond);
        update.Run();
        _depths.Change(job.Model, job.Priority, -1);
        return new ClaimResult(ClaimStatus.Claimed, claimed);
    }

    private JobRecord? Return(SqliteSession session, JobRecord attempt, DateTimeOffset until)
    {
        if (Find(session, attempt.Id) is not { } job || job.State.IsEnd())
        {
            return null;
        }

        if (job.State == JobState.Running && job.LeaseToken == attempt.LeaseToken)
        {
            return job;
        }

        if (!Pardon(session, job, attempt.LeaseToken!) || job.State != JobState.Queued || job.Attempt != attempt.Attempt || (job.Key is not null && KeyBusy(session, job)))
        {
            return null;
        }

        var back = job with
        {
            State = JobState.Running,
            Failures = job.Failures - 1,
            EventId = EventIds.Returned(job.Attempt, job.EventId),
            Worker = attempt.Worker,
            LeaseToken = attempt.LeaseToken,
            LeaseUntil = until,
            StartedAt = attempt.StartedAt,
        };
        using var update = session.Prepare("UPDATE jobs SET state = 1, event_id = ?2, worker = ?3, lease_token = ?4, lease_until = ?5, started_at = ?6 WHERE seq = ?1");
        update.Bind(1, job.Sequence);
        update.Bind(2, back.EventId);
        update.Bind(3, back.Worker);
        update.Bind(4, back.LeaseToken);
        update.Bind(5, back.LeaseUntil);
        update.Bind(6, back.StartedAt);
        update.Run();
        _depths.Change(job.Model, job.Priority, -1);
        return back;
    }

    /// <summary>True where the attempt had lapsed and was charged; it no longer is.</summary>
    private static bool Pardon(SqliteSession session, JobRecord job, string token)
    {
        using var update = session.Prepare("UPDATE jobs SET failures = failures - 1, lapsed = replace(lapsed, ?2, '') WHERE seq = ?1 AND instr(lapsed, ?2) > 0");
        update.Bind(1, job.Sequence);
        update.Bind(2, token + ' ');
        return update.Run() == 1;
    }

    private CancelResult Cancel(SqliteSession session, string id, DateTimeOffset now)
    {
        if (Find(session, id) is not { } job)
        {
            return new CancelResult(CancelStatus.NotFound);
        }

        if (job.State.IsEnd())
        {
            return new CancelResult(CancelStatus.AlreadyEnded, job);
        }

        if (job.State == JobState.Queued)
        {
            return new CancelResult(CancelStatus.Cancelled, End(session, job, new JobOutcome(JobState.Cancelled), [], [], now));
        }

        using var update = session.Prepare("UPDATE jobs SET cancel_requested = 1 WHERE seq = ?1");
        update.Bind(1, job.Sequence);
        update.Run();
        return new CancelResult(CancelStatus.Requested, job with { CancelRequested = true });
    }

    /// <summary>The one place where a job leaves its state for another than running: also fills the webhook table and the depths, and sets how long it is kept.</summary>
    private JobRecord End(SqliteSession session, JobRecord job, JobOutcome outcome, byte[] artifacts, byte[] error, DateTimeOffset now)
    {
        // A cancel that was answered is kept, whatever the attempt still came to.
        if (job.CancelRequested && outcome.State != JobState.Cancelled)
        {
            outcome = new JobOutcome(JobState.Cancelled);
            (artifacts, error) = ([], []);
        }

        var wasQueued = job.State == JobState.Queued;
        var ends = outcome.State.IsEnd();
        var ended = job with
        {
            State = outcome.State,
            Failures = job.Failures + (outcome.CountsAsFailure ? 1 : 0),
            EventId = wasQueued ? EventIds.EndedInQueue(job.Attempt) : outcome.Lapsed ? EventIds.Lapsed(job.Attempt, job.EventId) : EventIds.Ended(job.Attempt),
            NotBefore = ends ? null : outcome.RetryAt,
            StartedAt = ends ? job.StartedAt : null,
            EndedAt = ends ? now : null,
            ExpiresAt = ends ? now + _retention : null,
            LeaseToken = null,
            LeaseUntil = null,
            Worker = ends ? job.Worker : null,
            Progress = ends ? job.Progress : null,
            Result = outcome.Result,
            Artifacts = outcome.Artifacts,
            Error = outcome.Error,
        };
        using var update = session.Prepare(
            """
            UPDATE jobs SET state = ?2, failures = ?3, event_id = ?4, not_before = ?5, started_at = ?6, ended_at = ?7, expires_at = ?8,
              lease_token = NULL, lease_until = NULL, worker = ?9, progress = CASE WHEN ?2 > 1 THEN progress END, result = ?10, artifacts = ?11, error = ?12,
              lapsed = CASE WHEN ?13 IS NULL THEN lapsed ELSE coalesce(lapsed, '') || ?13 END
            WHERE seq = ?1
            """);
        update.Bind(1, job.Sequence);
        update.Bind(2, (int)ended.State);
        update.Bind(3, ended.Failures);
        update.Bind(4, ended.EventId);
        update.Bind(5, ended.NotBefore);
        update.Bind(6, ended.StartedAt);
        update.Bind(7, ended.EndedAt);
        update.Bind(8, ended.ExpiresAt);
        update.Bind(9, ended.Worker);
        update.Bind(10, ended.Result is { } result ? result.Span : []);
        update.Bind(11, artifacts);
        update.Bind(12, error);
        update.Bind(13, outcome.Lapsed ? job.LeaseToken + ' ' : null);
        update.Run();
        if (wasQueued != !ends)
        {
            _depths.Change(job.Model, job.Priority, ends ? -1 : +1);
        }

        if (ends && job.Callback is not null)
        {
            AddWebhook(session, job, now);
        }

        return ended;
    }
}
