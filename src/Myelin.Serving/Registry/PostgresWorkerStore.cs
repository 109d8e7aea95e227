using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Serving.Registry;

/// <summary>The workers of all processes on one database. A write that was lost is repeated: each gives fixed values.</summary>
internal sealed class PostgresWorkerStore(PostgresPool pool) : IWorkerStore
{
    public async ValueTask RegisterAsync(WorkerRow worker, CancellationToken cancellationToken) => await pool.ExecuteAsync(
        Repeat.Harmless,
        """
        INSERT INTO workers (id, host, address, socket, capacity, running, draining, started_at, seen_at, expires_at, revision, models)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (id) DO UPDATE SET
          host = excluded.host, address = excluded.address, socket = excluded.socket, capacity = excluded.capacity, running = excluded.running,
          draining = excluded.draining, started_at = excluded.started_at, seen_at = excluded.seen_at, expires_at = excluded.expires_at,
          revision = excluded.revision, models = excluded.models
        """,
        p =>
        {
            p.AddText(worker.Id);
            p.AddText(worker.Host);
            p.AddText(worker.Address);
            p.AddText(worker.Socket);
            p.AddInteger(worker.Capacity);
            p.AddInteger(worker.Running);
            p.AddInteger(worker.Draining ? 1 : 0);
            p.AddTime(worker.StartedAt);
            p.AddTime(worker.SeenAt);
            p.AddTime(worker.ExpiresAt);
            p.AddLong(worker.Revision);
            p.Add(new NpgsqlParameter<byte[]> { TypedValue = WorkerModelsJson.Write(worker.Models) });
        },
        cancellationToken);

    public async ValueTask<bool> BeatAsync(WorkerRow worker, CancellationToken cancellationToken) => await pool.ExecuteAsync(
        Repeat.Harmless,
        "UPDATE workers SET running = $2, draining = $3, seen_at = $4, expires_at = $5 WHERE id = $1",
        p =>
        {
            p.AddText(worker.Id);
            p.AddInteger(worker.Running);
            p.AddInteger(worker.Draining ? 1 : 0);
            p.AddTime(worker.SeenAt);
            p.AddTime(worker.ExpiresAt);
        },
        cancellationToken) == 1;

    public async ValueTask<IReadOnlyList<WorkerRow>> ListAsync(CancellationToken cancellationToken) => await pool.QueryAsync(
        Repeat.Harmless,
        WorkerRow.Select,
        _ => { },
        static row => WorkerRow.Read(new PostgresRow(row)),
        cancellationToken);

    public async ValueTask<IReadOnlyList<Model>?> ModelsAsync(string id, CancellationToken cancellationToken)
    {
        var found = await pool.QueryAsync(
            Repeat.Harmless,
            "SELECT models FROM workers WHERE id = $1",
            p => p.AddText(id),
            static row => WorkerModelsJson.Read(row.GetFieldValue<byte[]>(0)),
            cancellationToken);
        return found.FirstOrDefault();
    }

    public async ValueTask<int> ForgetAsync(DateTimeOffset before, CancellationToken cancellationToken) =>
        await pool.ExecuteAsync(Repeat.Harmless, "DELETE FROM workers WHERE expires_at < $1", p => p.AddTime(before), cancellationToken);
}
