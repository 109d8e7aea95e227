using System.Globalization;
using System.Reflection;

namespace Myelin.Server.Storage.Sqlite;

/// <summary>
/// Numbered SQL files, embedded from any folder (<c>0001_jobs.sql</c>), each run once and in a transaction of its own.
/// A database that knows more files than this program was made by a newer one and is refused.
/// </summary>
internal static class Migrations
{
    public static void Run(SqliteSession session, TimeProvider time)
    {
        session.Execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)");
        var files = Files();
        var known = Known(session);
        var foreign = known.Except(files.Keys).Order().ToArray();
        if (foreign.Length > 0)
        {
            throw new StorageException(
                $"The database was made by a newer version (migrations {string.Join(", ", foreign)}). Start that version, or restore a backup.", 0);
        }

        foreach (var (number, (name, resource)) in files.Where(f => !known.Contains(f.Key)))
        {
            session.Execute("BEGIN IMMEDIATE");
            session.Execute(Read(resource));
            Record(session, number, name, time);
            session.Execute("COMMIT");
        }
    }

    private static void Record(SqliteSession session, int number, string name, TimeProvider time)
    {
        using var insert = session.Prepare("INSERT INTO migrations (number, name, applied_at) VALUES (?1, ?2, ?3)");
        insert.Bind(1, number);
        insert.Bind(2, name);
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

    private static SortedDictionary<int, (string Name, string Resource)> Files()
    {
        var files = new SortedDictionary<int, (string, string)>();
        foreach (var resource in Assembly.GetExecutingAssembly().GetManifestResourceNames().Where(n => n.EndsWith(".sql", StringComparison.Ordinal)))
        {
            // Resource names are folders and file joined by dots: Myelin.Server.Storage.Migrations.0001_jobs.sql
            var name = resource[..^".sql".Length].Split('.')[^1].TrimStart('_');
            files.Add(int.Parse(name.Split('_')[0], CultureInfo.InvariantCulture), (name, resource));
        }

        return files;
    }

    private static string Read(string resource)
    {
        using var reader = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream(resource)!);
        return reader.ReadToEnd();
    }
}
