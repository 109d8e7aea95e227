namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>
/// The numbered SQL files (see <see cref="MigrationFiles"/>), each run once and in a transaction of its own. A database
/// that knows more files than this program was made by a newer one and is refused.
/// </summary>
internal static class Migrations
{
    public static void Run(SqliteSession session, TimeProvider time, Action<string> notice)
    {
        session.Execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)");
        var files = MigrationFiles.OfSqlite();
        var known = Known(session);
        MigrationFiles.RefuseNewer(known.Except(files.Select(f => f.Number)));
        List<MigrationFile> missing = [.. files.Where(f => !known.Contains(f.Number))];
        if (MigrationFiles.Notice(known.Count == 0, missing) is { } text)
        {
            notice(text);
        }

        foreach (var file in missing)
        {
            session.Execute("BEGIN IMMEDIATE");
            session.Execute(file.Sql);
            Record(session, file, time);
            session.Execute("COMMIT");
        }
    }

    private static void Record(SqliteSession session, MigrationFile file, TimeProvider time)
    {
        using var insert = session.Prepare("INSERT INTO migrations (number, name, applied_at) VALUES (?1, ?2, ?3)");
        insert.Bind(1, file.Number);
        insert.Bind(2, file.Name);
        insert.Bind(3, time.GetUtcNow());
        insert.Run();
    }

    private static HashSet<int> Known(SqliteSession session)
    {
        var known = new HashSet<int>();
        using var rows = session.Prepare("SELECT number FROM migrations");
        while (rows.Step())
        {
            known.Add(rows.Int32(0));
        }

        return known;
    }
}
