using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Hosting.Accounts;

/// <summary>The SQL of API keys on SQLite, for the server's database and for the <c>keys</c> command's own session; <see cref="Select"/> and the reading of a row are PostgreSQL's too.</summary>
internal static class KeyStatements
{
    public const string Select = "SELECT id, hash, tenant, name, scopes, created_at, last_used_at, revoked_at FROM api_keys";

    public static bool Add(SqliteSession session, ApiKey key)
    {
        using var insert = session.Prepare(
            "INSERT INTO api_keys (id, hash, tenant, name, scopes, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
        insert.Bind(1, key.Id);
        insert.Bind(2, key.Hash.Span);
        insert.Bind(3, key.Tenant);
        insert.Bind(4, key.Name);
        insert.Bind(5, (long)key.Scopes);
        insert.Bind(6, key.Created);
        return insert.Run() == 1;
    }

    public static ApiKey? Find(SqliteSession session, string id)
    {
        using var row = session.Prepare(Select + " WHERE id = ?1");
        row.Bind(1, id);
        return row.Step() ? Read(row) : null;
    }

    public static IReadOnlyList<ApiKey> List(SqliteSession session)
    {
        var keys = new List<ApiKey>();
        using var rows = session.Prepare(Select + " ORDER BY created_at, id");
        while (rows.Step())
        {
            keys.Add(Read(rows));
        }

        return keys;
    }

    public static bool Revoke(SqliteSession session, string id, DateTimeOffset at)
    {
        using var update = session.Prepare("UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1");
        update.Bind(1, id);
        update.Bind(2, at);
        return update.Run() == 1;
    }

    public static bool Touch(SqliteSession session, string id, DateTimeOffset at)
    {
        using var update = session.Prepare("UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1");
        update.Bind(1, id);
        update.Bind(2, at);
        return update.Run() == 1;
    }

    public static bool Any(SqliteSession session)
    {
        using var row = session.Prepare("SELECT 1 FROM api_keys WHERE revoked_at IS NULL LIMIT 1");
        return row.Step();
    }

    public static ApiKey Read<TRow>(TRow row) where TRow : IRow, allows ref struct => new()
    {
        Id = row.Text(0),
        Hash = row.Copy(1),
        Tenant = row.Text(2),
        Name = row.Text(3),
        Scopes = (Scopes)row.Int32(4),
        Created = row.Time(5),
        LastUsed = row.TimeOrNull(6),
        Revoked = row.TimeOrNull(7),
    };
}
