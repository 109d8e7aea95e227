using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres.Statements;

internal sealed class ClaimWrite(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken)
    : PostgresWrite<ClaimResult>(ClaimStatement.Instance, id, cancellationToken)
{
    public JobLease Lease { get; } = lease;

    public DateTimeOffset Now { get; } = now;
}

/// <summary>
/// Claims: rows that another transaction holds are skipped, never waited for; whoever skipped one looks again in a
/// moment. A job is free when no earlier one of its key lives. Inserts of one key may become visible out of order, so a
/// running one of any number blocks too, and the unique index holds that where two claims cannot see each other.
/// </summary>
internal sealed class ClaimStatement : PostgresStatement
{
    public static readonly ClaimStatement Instance = new();

    /// <summary>When a job that another transaction holds is looked at again.</summary>
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(100);

    private const string Busy =
        """
        LEFT JOIN LATERAL (
          (SELECT true AS busy FROM jobs e WHERE f.key IS NOT NULL AND e.tenant = f.tenant AND e.key = f.key AND e.state < 2 AND e.seq < f.seq LIMIT 1)
          UNION ALL
          (SELECT true FROM jobs e WHERE f.key IS NOT NULL AND e.tenant = f.tenant AND e.key = f.key AND e.state = 1 LIMIT 1)
          LIMIT 1) b ON true
        """;

    private static readonly string s_claim =
        $"""
        WITH asked AS MATERIALIZED (
          SELECT * FROM unnest($1, $2, $3, $4, $5) AS a(id, worker, token, until, now)
        ), found AS MATERIALIZED (
          SELECT a.*, j.seq, j.tenant, j.key FROM asked a
          CROSS JOIN LATERAL (
            SELECT j.seq, j.tenant, j.key FROM jobs j
            WHERE j.id = a.id AND j.state = 0 AND (j.attempt > 0 OR j.deadline IS NULL OR j.deadline > a.now) AND (j.not_before IS NULL OR j.not_before <= a.now)
            FOR UPDATE SKIP LOCKED) j
        ), free AS MATERIALIZED (
          SELECT f.* FROM found f {Busy} WHERE b.busy IS NULL
        ), claimed AS (
          UPDATE jobs j SET state = 1, attempt = j.attempt + 1, event_id = (j.attempt + 1) * {EventIds.Claimed(1)}::bigint, worker = f.worker, lease_token = f.token,
            lease_until = f.until, lease_for = f.until - f.now, started_at = f.now, not_before = NULL, progress = NULL, error = NULL
          FROM free f WHERE j.seq = f.seq
          RETURNING {PostgresJobs.Columns}
        ), counted AS (
          INSERT INTO queue_depths (model, priority, slot, depth) SELECT model, priority, $6, -count(*) FROM claimed GROUP BY model, priority
          ON CONFLICT (model, priority, slot) DO UPDATE SET depth = queue_depths.depth + excluded.depth, touched_at = now()
        )
        SELECT {PostgresJobs.Columns} FROM claimed j
        """;

    /// <summary>What became of the others: still queued, or claimed by the first try of a write that is repeated.</summary>
    private static readonly string s_others =
        $"""
        SELECT {PostgresJobs.Columns.Replace("j.", "f.", StringComparison.Ordinal)}, b.busy IS NOT NULL
        FROM unnest($1, $2) AS a(id, token)
        CROSS JOIN LATERAL (SELECT * FROM jobs j WHERE j.id = a.id AND (j.state = 0 OR (j.state = 1 AND j.lease_token = a.token)) LIMIT 1) f
        {Busy}
        """;

    public override int Order => 10;

    public override void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot)
    {
        var rows = writes.Cast<ClaimWrite>().ToList();
        Add(batch, s_claim, p =>
        {
            p.AddTexts(rows, r => r.Job);
            p.AddTexts(rows, r => r.Lease.Worker);
            p.AddTexts(rows, r => r.Lease.Token);
            p.AddTimes(rows, r => r.Lease.Until);
            p.AddTimes(rows, r => r.Now);
            p.AddInteger(slot);
        });
        Add(batch, s_others, p =>
        {
            p.AddTexts(rows, r => r.Job);
            p.AddTexts(rows, r => r.Repeated ? r.Lease.Token : null);
        });
    }

    public override async Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        var claimed = (await PostgresJobs.ReadAllAsync(reader, cancellationToken)).ToDictionary(j => j.Id, StringComparer.Ordinal);
        var others = new Dictionary<string, (JobRecord Job, bool Busy)>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellationToken))
        {
            var job = PostgresJobs.Read(reader);
            others.Add(job.Id, (job, reader.GetBoolean(reader.FieldCount - 1)));
        }

        await reader.NextResultAsync(cancellationToken);
        foreach (var write in writes.Cast<ClaimWrite>())
        {
            write.Result = claimed.TryGetValue(write.Job, out var job) ? new ClaimResult(ClaimStatus.Claimed, job)
                : others.TryGetValue(write.Job, out var other) ? WhyNot(other.Job, other.Busy, write.Now)
                : new ClaimResult(ClaimStatus.Gone);
        }
    }

    private static ClaimResult WhyNot(JobRecord job, bool busy, DateTimeOffset now)
    {
        if (job.State == JobState.Running)
        {
            return new ClaimResult(ClaimStatus.Claimed, job);
        }

        if (job.Attempt == 0 && job.Deadline <= now)
        {
            return new ClaimResult(ClaimStatus.Gone);
        }

        return job.NotBefore > now ? new ClaimResult(ClaimStatus.NotYet, job)
            : busy ? new ClaimResult(ClaimStatus.KeyBusy, job)
            : new ClaimResult(ClaimStatus.NotYet, job with { NotBefore = now + s_lookAgain });
    }
}
