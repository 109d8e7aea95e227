using System.Security.Cryptography;
using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres.Statements;

/// <summary>What must hold for a job to leave its state.</summary>
internal enum EndGuard : short
{
    /// <summary>It runs, and under this token.</summary>
    Token,

    /// <summary>It runs under this token, and its lease has lapsed: no beat has changed it since it was read.</summary>
    LostLease,

    /// <summary>It waits, never started, and is past its deadline.</summary>
    Overdue,

    /// <summary>It waits.</summary>
    Queued,
}

/// <summary>A job leaves its state; null when the guard does not hold (any more).</summary>
/// <param name="token">Of the attempt; null for a job that waits.</param>
/// <param name="seen">With <see cref="EndGuard.LostLease"/>: the lease as it was read.</param>
/// <param name="fence">Of the coordinator; a newer one means that this one is history. Null for work of a worker or a caller.</param>
internal sealed class EndWrite(
    string id, EndGuard guard, string? token, DateTimeOffset? seen, long? fence, JobOutcome outcome, DateTimeOffset now, TimeSpan retention, CancellationToken cancellationToken)
    : PostgresWrite<JobRecord?>(guard is EndGuard.LostLease or EndGuard.Overdue ? EndStatement.Upkeep : EndStatement.Instance, id, cancellationToken)
{
    public EndGuard Guard { get; } = guard;

    public string Token { get; } = token ?? Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));

    /// <summary>
    /// Written to the row as who moved it. Of a lost lease other than the attempt's own: a worker that repeats an outcome
    /// whose answer was lost must not take the lapse of its attempt for it.
    /// </summary>
    public string Mover => Guard == EndGuard.LostLease ? EndStatement.Lapsed + Token : Token;

    public DateTimeOffset? Seen { get; } = seen;

    public long? Fence { get; } = fence;

    public JobOutcome Outcome { get; } = outcome;

    public DateTimeOffset Now { get; } = now;

    /// <summary>Until when it is kept if it ends now.</summary>
    public DateTimeOffset ExpiresAt { get; } = now + retention;

    /// <summary>JSON, made on the caller's thread.</summary>
    public byte[] Artifacts { get; } = JobColumns.Blobs(outcome.Artifacts);

    /// <inheritdoc cref="Artifacts"/>
    public byte[] Error { get; } = JobColumns.Json(outcome.Error, JsonContext.Default.Problem);
}

/// <summary>
/// The one place where a job leaves its state for another than running: also fills the webhook table and the depths. A
/// cancel that was answered is kept, whatever the attempt still came to.
/// </summary>
internal sealed class EndStatement : PostgresStatement
{
    internal const string Lapsed = "lapsed ";

    /// <summary>For workers and callers: waits for a row that another transaction holds.</summary>
    public static readonly EndStatement Instance = new(30, "FOR UPDATE");

    /// <summary>For upkeep, which comes round again: leaves such a row for the next time.</summary>
    public static readonly EndStatement Upkeep = new(31, "FOR UPDATE SKIP LOCKED");

    private readonly string _end;

    private EndStatement(int order, string locking)
    {
        Order = order;
        _end = End(locking);
    }

    private static string End(string locking) =>
        $"""
        WITH asked AS MATERIALIZED (
          SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS a(
            id, guard, token, seen, fence, state, failed, retry_at, expires_at, now, result, artifacts, error)
        ), fence AS MATERIALIZED (
          SELECT coalesce(max(fence), 0) AS newest FROM leases WHERE name = '{PostgresCoordinatorLease.Name}'
        ), held AS MATERIALIZED (
          SELECT a.*, j.seq, j.was, j.cancel_requested AND a.state <> {(int)JobState.Cancelled} AS overruled FROM asked a CROSS JOIN fence
          CROSS JOIN LATERAL (
            SELECT j.seq, j.state AS was, j.cancel_requested FROM jobs j
            WHERE j.id = a.id AND CASE a.guard
              WHEN {(int)EndGuard.Token} THEN j.state = 1 AND j.lease_token = a.token
              WHEN {(int)EndGuard.LostLease} THEN j.state = 1 AND j.lease_token = a.token AND j.lease_until = a.seen
              WHEN {(int)EndGuard.Overdue} THEN j.state = 0 AND j.attempt = 0 AND j.deadline <= a.now
              ELSE j.state = 0 END
            {locking}) j
          WHERE a.fence IS NULL OR a.fence >= fence.newest
        ), outcome AS MATERIALIZED (
          SELECT seq, was, token, now, CASE guard WHEN {(int)EndGuard.LostLease} THEN '{Lapsed}' ELSE '' END || token AS mover, guard = {(int)EndGuard.LostLease} AND state = 0 AND NOT overruled AS lapsed,
            CASE WHEN overruled THEN {(int)JobState.Cancelled} ELSE state END AS state,
            CASE WHEN overruled THEN 0 ELSE failed END AS failed,
            CASE WHEN state = 0 AND NOT overruled THEN retry_at END AS not_before,
            CASE WHEN state > 1 OR overruled THEN expires_at END AS expires_at,
            CASE WHEN NOT overruled THEN result END AS result,
            CASE WHEN NOT overruled THEN artifacts END AS artifacts,
            CASE WHEN NOT overruled THEN error END AS error
          FROM held
        ), ended AS (
          UPDATE jobs j SET state = o.state, failures = j.failures + o.failed,
            event_id = CASE
              WHEN o.lapsed THEN least(j.event_id + {EventIds.Untold}, j.attempt * {EventIds.Claimed(1)}::bigint + {EventIds.Ended(0)} - 1)
              ELSE (j.attempt + CASE o.was WHEN 0 THEN 1 ELSE 0 END) * {EventIds.Claimed(1)}::bigint + {EventIds.Ended(0)} END,
            lapsed = CASE WHEN o.lapsed THEN coalesce(j.lapsed, '') || o.token || ' ' ELSE j.lapsed END,
            not_before = o.not_before, expires_at = o.expires_at, ended_at = CASE WHEN o.state > 1 THEN o.now END,
            started_at = CASE WHEN o.state > 1 THEN j.started_at END, worker = CASE WHEN o.state > 1 THEN j.worker END,
            progress = CASE WHEN o.state > 1 THEN j.progress END, lease_token = NULL, lease_until = NULL, last_token = o.mover,
            result = o.result, artifacts = o.artifacts, error = o.error
          FROM outcome o WHERE j.seq = o.seq
          RETURNING {PostgresJobs.Columns}, o.was
        ), counted AS (
          INSERT INTO queue_depths (model, priority, slot, depth)
          SELECT model, priority, $14, sum(CASE was WHEN 0 THEN -1 ELSE 1 END) FROM ended WHERE was = 0 OR state = 0 GROUP BY model, priority
          ON CONFLICT (model, priority, slot) DO UPDATE SET depth = queue_depths.depth + excluded.depth, touched_at = now()
        ), owed AS (
          INSERT INTO webhooks (job, callback, next_at) SELECT id, callback, ended_at FROM ended WHERE state > 1 AND callback IS NOT NULL
        )
        SELECT {PostgresJobs.Columns} FROM ended j
        """;

    /// <summary>What the first try of a repeated write did, as long as nobody has moved the job on.</summary>
    private static readonly string s_own =
        $"""
        SELECT {PostgresJobs.Columns} FROM unnest($1, $2) AS a(id, mover)
        CROSS JOIN LATERAL (SELECT * FROM jobs j WHERE j.id = a.id AND j.last_token = a.mover AND j.lease_token IS NULL LIMIT 1) j
        """;

    public override int Order { get; }

    public override void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot)
    {
        var rows = writes.Cast<EndWrite>().ToList();
        Add(batch, _end, p =>
        {
            p.AddTexts(rows, r => r.Job);
            p.AddShorts(rows, r => (short)r.Guard);
            p.AddTexts(rows, r => r.Token);
            p.AddTimes(rows, r => r.Seen);
            p.AddLongs(rows, r => r.Fence);
            p.AddShorts(rows, r => (short)r.Outcome.State);
            p.AddIntegers(rows, r => r.Outcome.CountsAsFailure ? 1 : 0);
            p.AddTimes(rows, r => r.Outcome.RetryAt);
            p.AddTimes(rows, r => r.ExpiresAt);
            p.AddTimes(rows, r => r.Now);
            p.AddBytes(rows, r => r.Outcome.Result?.ToArray().OrNull());
            p.AddBytes(rows, r => r.Artifacts.OrNull());
            p.AddBytes(rows, r => r.Error.OrNull());
            p.AddInteger(slot);
        });
        if (Repeats(rows) is { Count: > 0 } repeats)
        {
            Add(batch, s_own, p =>
            {
                p.AddTexts(repeats, r => r.Job);
                p.AddTexts(repeats, r => r.Mover);
            });
        }
    }

    public override async Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        var rows = writes.Cast<EndWrite>().ToList();
        var ended = await PostgresJobs.ReadAllAsync(reader, cancellationToken);
        if (Repeats(rows).Count > 0)
        {
            ended.AddRange(await PostgresJobs.ReadAllAsync(reader, cancellationToken));
        }

        var byId = ended.DistinctBy(j => j.Id).ToDictionary(j => j.Id, StringComparer.Ordinal);
        foreach (var write in rows)
        {
            write.Result = byId.GetValueOrDefault(write.Job);
        }
    }

    private static List<EndWrite> Repeats(List<EndWrite> rows) => rows.FindAll(r => r.Repeated);
}
