using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Hosting.Accounts;

/// <summary>Keys in the server's own database.</summary>
internal sealed class SqliteKeyStore(SqliteDatabase database) : IKeyStore
{
    public async ValueTask AddAsync(ApiKey key, CancellationToken cancellationToken) =>
        await database.WriteAsync(session => KeyStatements.Add(session, key), cancellationToken);

    public ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellationToken) =>
        database.ReadAsync(session => KeyStatements.Find(session, id), cancellationToken);

    public ValueTask<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken) =>
        database.ReadAsync(KeyStatements.List, cancellationToken);

    public async ValueTask<bool> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) =>
        await database.WriteAsync(session => KeyStatements.Revoke(session, id, at), cancellationToken);

    public async ValueTask TouchAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) =>
        await database.WriteAsync(session => KeyStatements.Touch(session, id, at), cancellationToken);

    public ValueTask<bool> AnyAsync(CancellationToken cancellationToken) => database.ReadAsync(KeyStatements.Any, cancellationToken);
}
