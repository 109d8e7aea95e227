using System.Collections.Immutable;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs.Store.Postgres.Statements;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>
/// Jobs in PostgreSQL, shared by several processes. Writes of a job go through the writer, in batches; reads run on the
/// pool. This file: opening, accepting, reading; the others: the life of an attempt, upkeep, webhooks.
/// </summary>
internal sealed partial class PostgresJobStore : IJobStore, IWebhookStore, IAsyncDisposable
{
    private readonly QueueDepths _depths = new();
    private readonly NpgsqlDataSource _single;
    private readonly PostgresWriter _writer;
    private readonly TimeProvider _time;
    private readonly TimeSpan _retention;
    private bool _disposed;

    private PostgresJobStore(PostgresPool pool, PostgresSettings settings, TimeSpan coordinatorLease, TimeSpan retention, PostgresContext context)
    {
        (Pool, _time, _retention, _single) = (pool, context.Time, retention, PostgresSources.Writer(settings));
        var batch = new PostgresBatch(_single, _depths, context.Clock, context.Time, context.Instruments.Committed);
        _writer = new PostgresWriter(batch, settings.Patience, context.Time, context.Instruments, context.Logger);
        Coordinator = new PostgresCoordinatorLease(pool, coordinatorLease, context.Time);
    }

    /// <summary>For other capabilities' tables.</summary>
    public PostgresPool Pool { get; }

    public PostgresWriter Writer => _writer;

    /// <summary>This process's hold on upkeep.</summary>
    public PostgresCoordinatorLease Coordinator { get; }

    /// <summary>Waits for the database, brings its tables up to date, reads depths and clock.</summary>
    /// <param name="settings">Where it is.</param>
    /// <param name="coordinatorLease">How long a silent coordinator keeps its place.</param>
    /// <param name="retention">How long a job is kept after its end.</param>
    /// <param name="context">What the process gives.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="StorageException">It cannot be reached, refuses this user, or was made by a newer version.</exception>
    public static async Task<PostgresJobStore> OpenAsync(
        PostgresSettings settings, TimeSpan coordinatorLease, TimeSpan retention, PostgresContext context, CancellationToken cancellationToken)
    {
        var pool = await PostgresPool.OpenAsync(settings, context.Time, context.Logger, cancellationToken);
        var store = new PostgresJobStore(pool, settings, coordinatorLease, retention, context);
        try
        {
            await store._writer.StartAsync(cancellationToken);
            return store;
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    public async ValueTask<InsertResult> InsertAsync(
        JobRecord job, ImmutableArray<SmallInput> inputs, int queueLimit, CancellationToken cancellationToken)
    {
        try
        {
            return await _writer.RunAsync(new InsertWrite(job, inputs, queueLimit, cancellationToken), cancellationToken);
        }
        catch (StorageFullException)
        {
            return new InsertResult(InsertStatus.StorageFull);
        }
    }

    public async ValueTask<ReadOnlyMemory<byte>?> ReadInputAsync(string id, string name, CancellationToken cancellationToken)
    {
        var found = await Pool.QueryAsync(
            Repeat.Harmless,
            "SELECT content FROM inputs WHERE job = $1 AND name = $2",
            p =>
            {
                p.AddText(id);
                p.AddText(name);
            },
            static row => (ReadOnlyMemory<byte>?)row.GetFieldValue<byte[]>(0),
            cancellationToken);
        return found.FirstOrDefault();
    }

    public async ValueTask<JobRecord?> GetAsync(string id, CancellationToken cancellationToken) =>
        (await ReadJobsAsync($"SELECT {JobColumns.Names} FROM jobs WHERE id = $1", p => p.AddText(id), cancellationToken)).FirstOrDefault();

    public async ValueTask<bool> KnowsAsync(string tenant, string idempotencyKey, CancellationToken cancellationToken)
    {
        var found = await Pool.QueryAsync(
            Repeat.Harmless,
            "SELECT 1 FROM jobs WHERE tenant = $1 AND idempotency_key = $2",
            p =>
            {
                p.AddText(tenant);
                p.AddText(idempotencyKey);
            },
            static row => row.GetInt32(0),
            cancellationToken);
        return found.Count > 0;
    }

    public async ValueTask<ImmutableArray<JobHint>> QueuedAsync(JobHint? after, int limit, CancellationToken cancellationToken)
    {
        var hints = await Pool.QueryAsync(
            Repeat.Harmless,
            """
            SELECT id, seq, model, priority, tenant, key, not_before, attempt FROM jobs
            WHERE state = 0 AND (model, priority, seq) > ($1, $2, $3) ORDER BY model, priority, seq LIMIT $4
            """,
            p =>
            {
                p.AddText(after?.Model ?? "");
                p.AddInteger(after is null ? -1 : (int)after.Priority);
                p.AddLong(after?.Sequence ?? 0);
                p.AddInteger(limit);
            },
            PostgresJobs.ReadHint,
            cancellationToken);
        return [.. hints];
    }

    public int QueueDepth(string model) => _depths.Of(model);

    public IReadOnlyDictionary<string, int> QueueDepths() => _depths.All();

    /// <summary>Finishes what waits, then closes.</summary>
    public ValueTask DisposeAsync() => CloseAsync(_writer.DisposeAsync);

    /// <summary>Lets go as a crash would: what waits is not stored. For tests.</summary>
    public ValueTask AbandonAsync() => CloseAsync(_writer.AbandonAsync);

    private async ValueTask CloseAsync(Func<ValueTask> closeWriter)
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        await closeWriter();
        await _single.DisposeAsync();
        await Pool.DisposeAsync();
    }

    /// <summary>Of statements that may run twice.</summary>
    private Task<List<JobRecord>> ReadJobsAsync(string sql, Action<NpgsqlParameterCollection> parameters, CancellationToken cancellationToken) =>
        Pool.QueryAsync(Repeat.Harmless, sql, parameters, PostgresJobs.Read, cancellationToken);
}
