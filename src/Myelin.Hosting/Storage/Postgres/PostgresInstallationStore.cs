namespace Myelin.Hosting.Storage.Postgres;

/// <param name="pool">Of the store.</param>
/// <param name="coordinator">Whose fence guards the generation.</param>
internal sealed class PostgresInstallationStore(PostgresPool pool, PostgresCoordinatorLease coordinator) : IInstallationStore
{
    public async ValueTask<Installation> ReadAsync(CancellationToken cancellationToken)
    {
        var rows = await pool.QueryAsync(
            Repeat.Harmless,
            "SELECT id, blob_prefix, generation, previous FROM installation",
            _ => { },
            static reader => new PostgresRow(reader) is var row ? new Installation(row.Text(0), row.Text(1), row.TextOrNull(2), row.TextOrNull(3)) : null!,
            cancellationToken);
        return rows[0];
    }

    /// <inheritdoc/>
    public async ValueTask<bool> AdvanceAsync(string generation, CancellationToken cancellationToken) => await pool.ExecuteAsync(
        Repeat.Harmless,
        $"""
        UPDATE installation SET previous = CASE WHEN generation = $2 THEN previous ELSE generation END, generation = $2
        WHERE NOT EXISTS (SELECT 1 FROM leases WHERE name = '{PostgresCoordinatorLease.Name}' AND fence > $1)
        """,
        p =>
        {
            p.AddLong(coordinator.Fence);
            p.AddText(generation);
        },
        cancellationToken) == 1;
}
