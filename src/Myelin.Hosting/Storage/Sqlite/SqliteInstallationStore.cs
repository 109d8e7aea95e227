namespace Myelin.Hosting.Storage.Sqlite;

internal sealed class SqliteInstallationStore(SqliteDatabase database) : IInstallationStore
{
    public ValueTask<Installation> ReadAsync(CancellationToken cancellationToken) => database.ReadAsync(
        session =>
        {
            using var row = session.Prepare("SELECT id, blob_prefix, generation, previous FROM installation");
            row.Step();
            return new Installation(row.Text(0), row.Text(1), row.TextOrNull(2), row.TextOrNull(3));
        },
        cancellationToken);

    public async ValueTask<bool> AdvanceAsync(string generation, CancellationToken cancellationToken) => await database.WriteAsync(
        session =>
        {
            using var update = session.Prepare("UPDATE installation SET previous = CASE WHEN generation = ?1 THEN previous ELSE generation END, generation = ?1");
            update.Bind(1, generation);
            return update.Run() == 1;
        },
        cancellationToken);
}
