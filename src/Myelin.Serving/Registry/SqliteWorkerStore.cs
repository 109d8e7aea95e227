using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Serving.Registry;

/// <summary>The one worker that a SQLite can have: its own process. The same table as everywhere, so that nobody needs to know.</summary>
internal sealed class SqliteWorkerStore(SqliteDatabase database) : IWorkerStore
{
    public async ValueTask RegisterAsync(WorkerRow worker, CancellationToken cancellationToken)
    {
        var models = WorkerModelsJson.Write(worker.Models);
        await database.WriteAsync(session => Register(session, worker, models), cancellationToken);
    }

    public async ValueTask<bool> BeatAsync(WorkerRow worker, CancellationToken cancellationToken) =>
        await database.WriteAsync(session => Beat(session, worker), cancellationToken);

    public ValueTask<IReadOnlyList<WorkerRow>> ListAsync(CancellationToken cancellationToken) => database.ReadAsync(List, cancellationToken);

    public ValueTask<IReadOnlyList<Model>?> ModelsAsync(string id, CancellationToken cancellationToken) =>
        database.ReadAsync(session => Models(session, id), cancellationToken);

    public async ValueTask<int> ForgetAsync(DateTimeOffset before, CancellationToken cancellationToken) =>
        await database.WriteAsync(session => Forget(session, before), cancellationToken);

    private static int Register(SqliteSession session, WorkerRow worker, byte[] models)
    {
        using var upsert = session.Prepare(
            """
            INSERT OR REPLACE INTO workers (id, host, address, socket, capacity, running, draining, started_at, seen_at, expires_at, revision, models)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            """);
        upsert.Bind(1, worker.Id);
        upsert.Bind(2, worker.Host);
        upsert.Bind(3, worker.Address);
        upsert.Bind(4, worker.Socket);
        upsert.Bind(5, worker.Capacity);
        upsert.Bind(6, worker.Running);
        upsert.Bind(7, worker.Draining ? 1L : 0L);
        upsert.Bind(8, worker.StartedAt);
        upsert.Bind(9, worker.SeenAt);
        upsert.Bind(10, worker.ExpiresAt);
        upsert.Bind(11, worker.Revision);
        upsert.BindBlob(12, models);
        return upsert.Run();
    }

    private static bool Beat(SqliteSession session, WorkerRow worker)
    {
        using var update = session.Prepare("UPDATE workers SET running = ?2, draining = ?3, seen_at = ?4, expires_at = ?5 WHERE id = ?1");
        update.Bind(1, worker.Id);
        update.Bind(2, worker.Running);
        update.Bind(3, worker.Draining ? 1L : 0L);
        update.Bind(4, worker.SeenAt);
        update.Bind(5, worker.ExpiresAt);
        return update.Run() == 1;
    }

    private static IReadOnlyList<WorkerRow> List(SqliteSession session)
    {
        var workers = new List<WorkerRow>();
        using var rows = session.Prepare(WorkerRow.Select);
        while (rows.Step())
        {
            workers.Add(WorkerRow.Read(rows));
        }

        return workers;
    }

    private static IReadOnlyList<Model>? Models(SqliteSession session, string id)
    {
        using var row = session.Prepare("SELECT models FROM workers WHERE id = ?1");
        row.Bind(1, id);
        return row.Step() ? WorkerModelsJson.Read(row.Bytes(0)) : null;
    }

    private static int Forget(SqliteSession session, DateTimeOffset before)
    {
        using var delete = session.Prepare("DELETE FROM workers WHERE expires_at < ?1");
        delete.Bind(1, before);
        return delete.Run();
    }
}
