using System.Collections.Immutable;
using Myelin.Server.Jobs;

namespace Myelin.Server.Storage.Sqlite;

/// <summary>
/// Jobs in SQLite. Writes run on the database's writer in shared transactions, reads on its readers. Statements are
/// chosen so that expected refusals (a known key, a lost lease) are found by reading first: nothing relies on a failed
/// statement. This file: opening, inserting, reading; the others: the life of an attempt, upkeep, webhooks.
/// </summary>
internal sealed partial class SqliteJobStore : IJobStore, IWebhookStore, IAsyncDisposable
{
    private const string Filtered =
        "(?1 IS NULL OR id < ?1) AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR model = ?3) AND (?4 IS NULL OR state = ?4) ORDER BY id DESC LIMIT ?5";

    private const string List = $"SELECT {JobColumns.Names} FROM jobs WHERE {Filtered}";

    /// <summary>Few jobs run, and pollers ask for them: the partial index answers without a walk through all that is remembered.</summary>
    private const string ListRunning = $"SELECT {JobColumns.Names} FROM jobs INDEXED BY jobs_running WHERE state = 1 AND {Filtered}";

    private readonly QueueDepths _depths = new();
    private readonly TimeSpan _retention;

    private SqliteJobStore(string folder, TimeProvider time, TimeSpan retention, Action<int> committed)
    {
        _retention = retention;
        Database = SqliteDatabase.Open(folder, time, session => _depths.Replace(CountQueued(session)));
        Database.Writer.Committed = count =>
        {
            _depths.Commit();
            committed(count);
        };
        Database.Writer.RolledBack = _depths.Rollback;
        Database.Writer.Start();
    }

    /// <summary>For other capabilities' tables.</summary>
    public SqliteDatabase Database { get; }

    /// <param name="folder">The data folder.</param>
    /// <param name="time">Dates migrations.</param>
    /// <param name="retention">How long a job is kept after its end.</param>
    /// <param name="committed">Told the number of operations of every group commit, on the writer's thread.</param>
    public static SqliteJobStore Open(string folder, TimeProvider time, TimeSpan retention, Action<int> committed) => new(folder, time, retention, committed);

    public async ValueTask<InsertResult> InsertAsync(
        JobRecord job, ImmutableArray<SmallInput> inputs, int queueLimit, CancellationToken cancellationToken)
    {
        var callback = JobColumns.Json(job.Callback, JsonContext.Default.JobCallback);
        var described = JobColumns.Blobs(job.Inputs);
        try
        {
            return await Database.WriteAsync(session => Insert(session, job, inputs, queueLimit, callback, described), cancellationToken);
        }
        catch (StorageFullException)
        {
            return new InsertResult(InsertStatus.StorageFull);
        }
    }

    public ValueTask<ReadOnlyMemory<byte>?> ReadInputAsync(string id, string name, CancellationToken cancellationToken) =>
        Database.ReadAsync(
            session =>
            {
                using var row = session.Prepare("SELECT content FROM inputs WHERE job = ?1 AND name = ?2");
                row.Bind(1, id);
                row.Bind(2, name);
                return row.Step() ? row.Bytes(0).ToArray() : (ReadOnlyMemory<byte>?)null;
            },
            cancellationToken);

    public ValueTask<JobRecord?> GetAsync(string id, CancellationToken cancellationToken) =>
        Database.ReadAsync(session => Find(session, id), cancellationToken);

    public ValueTask<bool> KnowsAsync(string tenant, string idempotencyKey, CancellationToken cancellationToken) =>
        Database.ReadAsync(session => FindRepeat(session, tenant, idempotencyKey) is not null, cancellationToken);

    public ValueTask<ImmutableArray<JobRecord>> ListAsync(JobFilter filter, string? before, int limit, CancellationToken cancellationToken) =>
        Database.ReadAsync(
            session =>
            {
                using var rows = session.Prepare(filter.State == JobState.Running ? ListRunning : List);
                rows.Bind(1, before);
                rows.Bind(2, filter.Tenant);
                rows.Bind(3, filter.Model);
                if (filter.State is { } state)
                {
                    rows.Bind(4, (int)state);
                }

                rows.Bind(5, limit);
                return ReadAll(rows);
            },
            cancellationToken);

    public ValueTask<ImmutableArray<JobHint>> QueuedAsync(JobHint? after, int limit, CancellationToken cancellationToken) =>
        Database.ReadAsync(
            session =>
            {
                using var rows = session.Prepare(
                    """
                    SELECT id, seq, model, priority, tenant, key, not_before, attempt FROM jobs
                    WHERE state = 0 AND (model, priority, seq) > (?1, ?2, ?3) ORDER BY model, priority, seq LIMIT ?4
                    """);
                rows.Bind(1, after?.Model ?? "");
                rows.Bind(2, after is null ? -1 : (int)after.Priority);
                rows.Bind(3, after?.Sequence ?? 0);
                rows.Bind(4, limit);
                var hints = ImmutableArray.CreateBuilder<JobHint>();
                while (rows.Step())
                {
                    hints.Add(JobRow.ReadHint(rows));
                }

                return hints.DrainToImmutable();
            },
            cancellationToken);

    public ValueTask<int> PositionAsync(JobRecord job, CancellationToken cancellationToken) =>
        Database.ReadAsync(
            session =>
            {
                var better = job.Priority == JobPriority.High ? 0 : _depths.Ahead(job.Model, job.Priority - 1);
                using var row = session.Prepare("SELECT count(*) FROM jobs WHERE state = 0 AND model = ?1 AND priority = ?2 AND seq < ?3");
                row.Bind(1, job.Model);
                row.Bind(2, (int)job.Priority);
                row.Bind(3, job.Sequence);
                row.Step();
                return row.Int32(0) + better;
            },
            cancellationToken);

    public int QueueDepth(string model) => _depths.Of(model);

    public IReadOnlyDictionary<string, int> QueueDepths() => _depths.All();

    public ValueTask DisposeAsync() => Database.DisposeAsync();

    /// <summary>Lets go as a crash would; for tests.</summary>
    public ValueTask AbandonAsync() => Database.AbandonAsync();

    private static List<(string Model, JobPriority Priority, int Count)> CountQueued(SqliteSession session)
    {
        var counts = new List<(string, JobPriority, int)>();
        using var rows = session.Prepare("SELECT model, priority, count(*) FROM jobs WHERE state = 0 GROUP BY model, priority");
        while (rows.Step())
        {
            counts.Add((rows.Text(0), (JobPriority)rows.Int32(1), rows.Int32(2)));
        }

        return counts;
    }

    private static JobRecord? Find(SqliteSession session, string id)
    {
        using var row = session.Prepare($"SELECT {JobColumns.Names} FROM jobs WHERE id = ?1");
        row.Bind(1, id);
        return row.Step() ? JobRow.Read(row) : null;
    }

    private static JobRecord? FindRepeat(SqliteSession session, string tenant, string key)
    {
        using var row = session.Prepare($"SELECT {JobColumns.Names} FROM jobs WHERE idempotency_key IS NOT NULL AND tenant = ?1 AND idempotency_key = ?2");
        row.Bind(1, tenant);
        row.Bind(2, key);
        return row.Step() ? JobRow.Read(row) : null;
    }

    private static ImmutableArray<JobRecord> ReadAll(SqliteCursor rows)
    {
        var jobs = ImmutableArray.CreateBuilder<JobRecord>();
        while (rows.Step())
        {
            jobs.Add(JobRow.Read(rows));
        }

        return jobs.DrainToImmutable();
    }

    private static void InsertInput(SqliteSession session, string job, SmallInput input)
    {
        using var insert = session.Prepare("INSERT INTO inputs (job, name, content) VALUES (?1, ?2, ?3)");
        insert.Bind(1, job);
        insert.Bind(2, input.Name);
        insert.BindBlob(3, input.Content.Span);
        insert.Run();
    }

    private InsertResult Insert(
        SqliteSession session, JobRecord job, ImmutableArray<SmallInput> inputs, int queueLimit, byte[] callback, byte[] described)
    {
        if (job.IdempotencyKey is not null && FindRepeat(session, job.Tenant, job.IdempotencyKey) is { } first)
        {
            return new InsertResult(first.BodyHash == job.BodyHash ? InsertStatus.Duplicate : InsertStatus.Mismatch, first);
        }

        if (_depths.Of(job.Model) >= queueLimit)
        {
            return new InsertResult(InsertStatus.QueueFull);
        }

        using var insert = session.Prepare(
            """
            INSERT INTO jobs (id, tenant, model, priority, state, attempt, failures, event_id, cancel_requested, purged, created_at,
              deadline, key, idempotency_key, body_hash, trace_parent, callback, inputs, parameters)
            VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0, 0, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
            """);
        insert.Bind(1, job.Id);
        insert.Bind(2, job.Tenant);
        insert.Bind(3, job.Model);
        insert.Bind(4, (int)job.Priority);
        insert.Bind(5, job.CreatedAt);
        insert.Bind(6, job.Deadline);
        insert.Bind(7, job.Key);
        insert.Bind(8, job.IdempotencyKey);
        insert.Bind(9, job.BodyHash);
        insert.Bind(10, job.TraceParent);
        insert.Bind(11, callback);
        insert.Bind(12, described);
        insert.Bind(13, job.Parameters.Span);
        insert.Run();
        var stored = job with { Sequence = session.LastRowId, State = JobState.Queued };

        foreach (var input in inputs)
        {
            InsertInput(session, job.Id, input);
        }

        var position = _depths.Ahead(job.Model, job.Priority);
        _depths.Change(job.Model, job.Priority, +1);
        return new InsertResult(InsertStatus.Inserted, stored, position);
    }
}
