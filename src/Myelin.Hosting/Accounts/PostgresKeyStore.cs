using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Hosting.Accounts;

/// <summary>Keys in the database that all gateways share. An id that was never made is found nowhere, whatever its text.</summary>
internal sealed class PostgresKeyStore(PostgresPool pool) : IKeyStore
{
    public async ValueTask AddAsync(ApiKey key, CancellationToken cancellationToken) => await pool.ExecuteAsync(
        Repeat.Never,
        "INSERT INTO api_keys (id, hash, tenant, name, scopes, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        p =>
        {
            p.AddText(key.Id);
            p.Add(new NpgsqlParameter<byte[]> { TypedValue = key.Hash.ToArray() });
            p.AddText(key.Tenant);
            p.AddText(key.Name);
            p.AddInteger((int)key.Scopes);
            p.AddTime(key.Created);
        },
        cancellationToken);

    public async ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellationToken) =>
        (await ReadAsync(KeyStatements.Select + " WHERE id = $1", p => p.AddText(id), cancellationToken)).FirstOrDefault();

    public async ValueTask<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken) =>
        await ReadAsync(KeyStatements.Select + " ORDER BY created_at, id", _ => { }, cancellationToken);

    public async ValueTask<bool> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) =>
        await MarkAsync("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1", id, at, cancellationToken);

    public async ValueTask TouchAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) =>
        await MarkAsync("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", id, at, cancellationToken);

    public async ValueTask<bool> AnyAsync(CancellationToken cancellationToken) =>
        (await ReadAsync(KeyStatements.Select + " WHERE revoked_at IS NULL LIMIT 1", _ => { }, cancellationToken)).Count > 0;

    private async Task<bool> MarkAsync(string sql, string id, DateTimeOffset at, CancellationToken cancellationToken) =>
        !id.Contains('\0', StringComparison.Ordinal) && await pool.ExecuteAsync(
            Repeat.Harmless,
            sql,
            p =>
            {
                p.AddText(id);
                p.AddTime(at);
            },
            cancellationToken) == 1;

    private Task<List<ApiKey>> ReadAsync(string sql, Action<NpgsqlParameterCollection> parameters, CancellationToken cancellationToken) =>
        pool.QueryAsync(Repeat.Harmless, sql, parameters, static row => KeyStatements.Read(new PostgresRow(row)), cancellationToken);
}
