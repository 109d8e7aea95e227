using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres.Statements;

/// <summary>An attempt that was silent for too long comes back. Sending it twice does the same.</summary>
internal sealed class ReturnWrite(JobRecord attempt, DateTimeOffset until, CancellationToken cancellationToken)
    : PostgresWrite<JobRecord?>(ReturnStatement.Instance, attempt.Id, cancellationToken)
{
    public JobRecord Attempt { get; } = attempt;

    public DateTimeOffset Until { get; } = until;
}

/// <summary>
/// Running again where nobody has claimed the job since and no other of its key runs or goes before it. Otherwise the
/// attempt is no longer charged.
/// </summary>
internal sealed class ReturnStatement : PostgresStatement
{
    public static readonly ReturnStatement Instance = new();

    private static readonly string s_return =
        $"""
        WITH back AS (
          UPDATE jobs j SET state = 1, lease_token = $2, worker = $4, started_at = $5, lease_until = $6, failures = j.failures - 1,
            lapsed = replace(j.lapsed, $2 || ' ', ''), event_id = least(j.event_id + 1, j.attempt * {EventIds.Claimed(1)}::bigint + {EventIds.Ended(0)} - 1)
          WHERE j.id = $1 AND j.state = 0 AND j.attempt = $3 AND strpos(j.lapsed, $2 || ' ') > 0 AND NOT EXISTS (
            SELECT 1 FROM jobs e WHERE j.key IS NOT NULL AND e.tenant = j.tenant AND e.key = j.key AND e.state < 2 AND (e.state = 1 OR e.seq < j.seq))
          RETURNING {PostgresJobs.Columns}
        ), counted AS (
          INSERT INTO queue_depths (model, priority, slot, depth) SELECT model, priority, $7, -1 FROM back
          ON CONFLICT (model, priority, slot) DO UPDATE SET depth = queue_depths.depth + excluded.depth, touched_at = now()
        )
        SELECT {PostgresJobs.Columns} FROM back j
        UNION ALL SELECT {PostgresJobs.Columns} FROM jobs j WHERE j.id = $1 AND j.state = 1 AND j.lease_token = $2
        """;

    private const string Pardon =
        "UPDATE jobs SET failures = failures - 1, lapsed = replace(lapsed, $2 || ' ', '') WHERE id = $1 AND state < 2 AND strpos(lapsed, $2 || ' ') > 0";

    public override int Order => 25;

    public override void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot)
    {
        foreach (var write in writes.Cast<ReturnWrite>())
        {
            Add(batch, s_return, p =>
            {
                p.AddText(write.Job);
                p.AddText(write.Attempt.LeaseToken);
                p.AddInteger(write.Attempt.Attempt);
                p.AddText(write.Attempt.Worker);
                p.AddTime(write.Attempt.StartedAt);
                p.AddTime(write.Until);
                p.AddInteger(slot);
            });
            Add(batch, Pardon, p =>
            {
                p.AddText(write.Job);
                p.AddText(write.Attempt.LeaseToken);
            });
        }
    }

    public override async Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        foreach (var write in writes.Cast<ReturnWrite>())
        {
            write.Result = (await PostgresJobs.ReadAllAsync(reader, cancellationToken)).FirstOrDefault();
        }
    }
}
