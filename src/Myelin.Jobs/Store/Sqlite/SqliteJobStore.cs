using System.Collections.Immutable;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Jobs.Store.Sqlite;

/// <summary>
/// Jobs in SQLite. Writes run on the database's writer in shared transactions, reads on its readers. Statements are
/// chosen so that expected refusals (a known key, a lost lease) are found by reading first: nothing relies on a failed
/// statement. This file: opening, inserting, reading; the others: the life of an attempt, upkeep, webhooks.
/// </summary>
internal sealed partial class SqliteJobStore : IJobStore, IWebhookStore, IAsyncDisposable
{
    private readonly QueueDepths _depths = new();
    private readonly TimeSpan _retention;

    private SqliteJobStore(string folder, TimeProvider time, TimeSpan retention, Action<string> notice, Action<int> committed)
    {
        _retention = retention;
        Database = SqliteDatabase.Open(folder, time, notice, session => _depths.Replace(CountQueued(session)));
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
    public static SqliteJobStore Open(string folder, TimeProvider time, TimeSpan retention, Action<int> committed) =>
        Open(folder, time, retention, static _ => { }, committed);

    /// <inheritdoc cref="Open(string, TimeProvider, TimeSpan, Action{int})"/>
    /// <param name="notice">Told when an old database is about to be changed.</param>
    public static SqliteJobStore Open(string folder, TimeProvider time, TimeSpan retention, Action<string> notice, Action<int> committed) =>
        new(folder, time, retention, notice, committed);

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
        Database.ReadLongAsync(session => JobLists.List(session, filter, before, limit), cancellationToken);

    public ValueTask<ImmutableArray<JobHint>> QueuedAsync(JobHint? after, int limit, CancellationToken cancellationToken) =>
        Database.ReadLongAsync(
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

    public ValueTask<IReadOnlyDictionary<string, int>> PositionsAsync(IReadOnlyCollection<JobRecord> jobs, CancellationToken cancellationToken) =>
        Database.ReadLongAsync(session => JobLists.Positions(session, jobs, _depths), cancellationToken);

    public ValueTask<int> CountQueuedAsync(string tenant, string model, int most, CancellationToken cancellationToken) =>
        Database.ReadAsync(session => CountQueued(session, tenant, model, most), cancellationToken);

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

    private static int CountQueued(SqliteSession session, string tenant, string model, int most)
    {
        using var row = session.Prepare(
            "SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_tenant_model WHERE tenant = ?1 AND model = ?2 AND state = 0 LIMIT ?3)");
        row.Bind(1, tenant);
        row.Bind(2, model);
        row.Bind(3, most);
        row.Step();
        return row.Int32(0);
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

        if (_depths.Of(job.Model) >= queueLimit && CountQueued(session, job.Tenant, job.Model, QueueShare.Of(queueLimit)) >= QueueShare.Of(queueLimit))
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
