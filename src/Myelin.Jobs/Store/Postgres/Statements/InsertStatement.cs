using System.Collections.Immutable;
using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres.Statements;

/// <summary>A job to be accepted.</summary>
internal sealed class InsertWrite(JobRecord job, ImmutableArray<SmallInput> inputs, int queueLimit, CancellationToken cancellationToken)
    : PostgresWrite<InsertResult>(InsertStatement.Instance, job.Id, cancellationToken)
{
    public JobRecord Record { get; } = job;

    public ImmutableArray<SmallInput> Inputs { get; } = inputs;

    public int QueueLimit { get; } = queueLimit;

    /// <summary>JSON, made on the caller's thread.</summary>
    public byte[] Callback { get; } = JobColumns.Json(job.Callback, JsonContext.Default.JobCallback);

    /// <inheritdoc cref="Callback"/>
    public byte[] Described { get; } = JobColumns.Blobs(job.Inputs);
}

/// <summary>
/// Accepts jobs. A row is not added when its idempotency key is known, or when its model's queue is full for its tenant
/// (<see cref="QueueShare"/>); which of the two is told by reading the first job of the key. Near a model's limit its inserts take turns over all processes, so
/// that the limit holds; far from it nobody waits for anybody.
/// </summary>
internal sealed class InsertStatement : PostgresStatement
{
    public static readonly InsertStatement Instance = new();

    /// <summary>Nearer than this to the limit, a model's inserts take turns: four full batches of other processes.</summary>
    private const int Near = 4096;

    /// <summary>Class of this advisory lock; the other half is the model.</summary>
    private const int LockClass = 0x6d79;

    private const string TakeTurns =
        """
        SELECT count(*) FROM (
          SELECT pg_advisory_xact_lock($3, o.hash) FROM (
            SELECT DISTINCT hashtext(a.model) AS hash FROM (SELECT model, count(*) AS jobs, min(queue_limit) AS queue_limit
              FROM unnest($1, $2) AS a(model, queue_limit) GROUP BY model) a
            WHERE coalesce((SELECT sum(d.depth) FROM queue_depths d WHERE d.model = a.model), 0) + a.jobs + $4 > a.queue_limit
            ORDER BY 1 OFFSET 0) o) l
        """;

    // LIMIT inside LATERAL keeps it a look into the index per row, whatever the planner thinks of the table's size.
    private const string Insert =
        """
        WITH asked AS MATERIALIZED (
          SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) WITH ORDINALITY AS a(
            id, tenant, model, priority, created_at, deadline, key, idempotency_key, body_hash, trace_parent, callback, inputs, parameters, queue_limit, place)
        ), waiting AS MATERIALIZED (
          SELECT model, sum(depth) AS depth FROM queue_depths WHERE model = ANY($3) GROUP BY model
        ), ranked AS MATERIALIZED (
          SELECT a.*, row_number() OVER (PARTITION BY a.model ORDER BY a.place) AS rank,
            row_number() OVER (PARTITION BY a.model, a.tenant ORDER BY a.place) AS own_rank, (a.queue_limit::bigint + 9) / 10 AS share
          FROM asked a
          LEFT JOIN LATERAL (
            SELECT true AS known FROM jobs j
            WHERE a.idempotency_key IS NOT NULL AND j.tenant = a.tenant AND j.idempotency_key = a.idempotency_key LIMIT 1) k ON true
          WHERE k.known IS NULL
        ), added AS (
          INSERT INTO jobs (id, tenant, model, priority, created_at, deadline, key, idempotency_key, body_hash, trace_parent, callback, inputs, parameters)
          SELECT r.id, r.tenant, r.model, r.priority, r.created_at, r.deadline, r.key, r.idempotency_key, r.body_hash, r.trace_parent, r.callback, r.inputs, r.parameters
          FROM ranked r LEFT JOIN waiting w ON w.model = r.model
          WHERE r.rank + coalesce(w.depth, 0) <= r.queue_limit OR r.own_rank + (
            SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.tenant = r.tenant AND j.model = r.model AND (j.state, j.id) <= (0, '~') LIMIT r.share) o) <= r.share
          ORDER BY r.place
          ON CONFLICT DO NOTHING
          RETURNING id, seq, model, priority
        ), counted AS (
          INSERT INTO queue_depths (model, priority, slot, depth) SELECT model, priority, $15, count(*) FROM added GROUP BY model, priority
          ON CONFLICT (model, priority, slot) DO UPDATE SET depth = queue_depths.depth + excluded.depth, touched_at = now()
        )
        SELECT id, seq FROM added
        """;

    /// <summary>Only of jobs that are there: those of refused jobs go nowhere.</summary>
    private const string InsertInputs =
        """
        INSERT INTO inputs (job, name, content)
        SELECT a.job, a.name, a.content FROM unnest($1, $2, $3) AS a(job, name, content)
        CROSS JOIN LATERAL (SELECT 1 FROM jobs j WHERE j.id = a.job LIMIT 1) j
        ON CONFLICT DO NOTHING
        """;

    private static readonly string s_firstOfKey =
        $"""
        SELECT {PostgresJobs.Columns} FROM unnest($1, $2) AS a(tenant, idempotency_key)
        CROSS JOIN LATERAL (SELECT * FROM jobs j WHERE j.tenant = a.tenant AND j.idempotency_key = a.idempotency_key LIMIT 1) j
        WHERE j.id <> ALL($3)
        """;

    private const string Own = "SELECT id, seq FROM jobs WHERE id = ANY($1)";

    public override int Order => 50;

    /// <summary>One of a tenant and idempotency key in a batch: the second finds the first.</summary>
    public override object IdentityOf(PostgresWrite write) =>
        ((InsertWrite)write).Record is { IdempotencyKey: { } key } job ? (job.Tenant, key) : base.IdentityOf(write);

    public override void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot)
    {
        var rows = writes.Cast<InsertWrite>().ToList();
        Add(batch, TakeTurns, p =>
        {
            p.AddTexts(rows, r => r.Record.Model);
            p.AddIntegers(rows, r => r.QueueLimit);
            p.AddInteger(LockClass);
            p.AddInteger(Near);
        });
        Add(batch, Insert, p =>
        {
            p.AddTexts(rows, r => r.Record.Id);
            p.AddTexts(rows, r => r.Record.Tenant);
            p.AddTexts(rows, r => r.Record.Model);
            p.AddShorts(rows, r => (short)r.Record.Priority);
            p.AddTimes(rows, r => r.Record.CreatedAt);
            p.AddTimes(rows, r => r.Record.Deadline);
            p.AddTexts(rows, r => r.Record.Key);
            p.AddTexts(rows, r => r.Record.IdempotencyKey);
            p.AddTexts(rows, r => r.Record.BodyHash);
            p.AddTexts(rows, r => r.Record.TraceParent);
            p.AddBytes(rows, r => r.Callback.OrNull());
            p.AddBytes(rows, r => r.Described.OrNull());
            p.AddBytes(rows, r => r.Record.Parameters.ToArray().OrNull());
            p.AddIntegers(rows, r => r.QueueLimit);
            p.AddInteger(slot);
        });

        var inputs = rows.SelectMany(r => r.Inputs.Select(i => (r.Record.Id, Input: i))).ToList();
        if (inputs.Count > 0)
        {
            Add(batch, InsertInputs, p =>
            {
                p.AddTexts(inputs, i => i.Id);
                p.AddTexts(inputs, i => i.Input.Name);
                p.AddBytes(inputs, i => i.Input.Content.ToArray());
            });
        }

        if (Keyed(rows) is { Count: > 0 } keyed)
        {
            Add(batch, s_firstOfKey, p =>
            {
                p.AddTexts(keyed, r => r.Record.Tenant);
                p.AddTexts(keyed, r => r.Record.IdempotencyKey);
                p.AddTexts(rows, r => r.Record.Id);
            });
        }

        if (Repeats(rows) is { Count: > 0 } repeats)
        {
            Add(batch, Own, p => p.AddTexts(repeats, r => r.Record.Id));
        }
    }

    public override async Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        var rows = writes.Cast<InsertWrite>().ToList();
        await reader.NextResultAsync(cancellationToken); // the turns
        var added = await ReadSequencesAsync(reader, cancellationToken);
        var firsts = Keyed(rows).Count > 0 ? await PostgresJobs.ReadAllAsync(reader, cancellationToken) : [];
        if (Repeats(rows).Count > 0)
        {
            foreach (var (id, sequence) in await ReadSequencesAsync(reader, cancellationToken))
            {
                added[id] = sequence;
            }
        }

        foreach (var write in rows)
        {
            var job = write.Record;
            write.Result = added.TryGetValue(job.Id, out var sequence)
                ? new InsertResult(InsertStatus.Inserted, job with { Sequence = sequence, State = JobState.Queued })
                : firsts.Find(f => f.Tenant == job.Tenant && f.IdempotencyKey == job.IdempotencyKey) is { } first
                    ? new InsertResult(first.BodyHash == job.BodyHash ? InsertStatus.Duplicate : InsertStatus.Mismatch, first)
                    : new InsertResult(InsertStatus.QueueFull);
        }
    }

    /// <summary>Positions: what waits after the batch, less what the batch itself added behind the job.</summary>
    public override void Finish(IReadOnlyList<PostgresWrite> writes, QueueDepths depths)
    {
        var behind = new Dictionary<(string, JobPriority), int>();
        foreach (var write in writes.Cast<InsertWrite>().Where(w => w.Result.Status == InsertStatus.Inserted).OrderByDescending(w => w.Result.Job!.Sequence))
        {
            var job = write.Record;
            var later = 1;
            for (var better = JobPriority.High; better <= job.Priority; better++)
            {
                later += behind.GetValueOrDefault((job.Model, better));
            }

            behind[(job.Model, job.Priority)] = behind.GetValueOrDefault((job.Model, job.Priority)) + 1;
            write.Result = write.Result with { Position = Math.Max(depths.Ahead(job.Model, job.Priority) - later, 0) };
        }
    }

    private static List<InsertWrite> Keyed(List<InsertWrite> rows) => rows.FindAll(r => r.Record.IdempotencyKey is not null);

    private static List<InsertWrite> Repeats(List<InsertWrite> rows) => rows.FindAll(r => r.Repeated);

    private static async Task<Dictionary<string, long>> ReadSequencesAsync(NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        var sequences = new Dictionary<string, long>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellationToken))
        {
            sequences.Add(reader.GetString(0), reader.GetInt64(1));
        }

        await reader.NextResultAsync(cancellationToken);
        return sequences;
    }
}
