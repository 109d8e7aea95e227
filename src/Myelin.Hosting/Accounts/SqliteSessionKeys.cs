using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Hosting.Accounts;

/// <summary>
/// Keys over a session of its own, beside a running server: the data folder's lock is about who works off jobs. Used by
/// one thread.
/// </summary>
internal sealed class SqliteSessionKeys : IKeyStore, IAsyncDisposable
{
    private readonly SqliteSession _session;

    public SqliteSessionKeys(string path, TimeProvider time)
    {
        _session = SqliteSession.Open(path, writer: true, static _ => { });
        Migrations.Run(_session, time, Console.Error.WriteLine);
    }

    public ValueTask AddAsync(ApiKey key, CancellationToken cancellationToken)
    {
        KeyStatements.Add(_session, key);
        return default;
    }

    public ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellationToken) => new(KeyStatements.Find(_session, id));

    public ValueTask<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken) => new(KeyStatements.List(_session));

    public ValueTask<bool> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) => new(KeyStatements.Revoke(_session, id, at));

    public ValueTask TouchAsync(string id, DateTimeOffset at, CancellationToken cancellationToken)
    {
        KeyStatements.Touch(_session, id, at);
        return default;
    }

    public ValueTask<bool> AnyAsync(CancellationToken cancellationToken) => new(KeyStatements.Any(_session));

    public ValueTask DisposeAsync()
    {
        _session.Dispose();
        return default;
    }
}
