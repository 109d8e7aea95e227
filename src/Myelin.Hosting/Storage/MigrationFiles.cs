using System.Globalization;
using System.Reflection;

namespace Myelin.Hosting.Storage;

/// <param name="Number">Of all migrations of one engine no two have the same.</param>
internal sealed record MigrationFile(int Number, string Name, string Sql);

/// <summary>
/// Numbered SQL files, embedded from any folder of any project: <c>0001_jobs.sql</c> for SQLite and, beside it or in a folder of its
/// own, <c>0001_jobs.postgres.sql</c> for PostgreSQL. Whoever adds one adds the other: a table has a home in both.
/// </summary>
internal static class MigrationFiles
{
    private const string Sql = ".sql";
    private const string PostgresSql = ".postgres.sql";

    public static IReadOnlyList<MigrationFile> OfSqlite() =>
        Read(n => n.EndsWith(Sql, StringComparison.Ordinal) && !n.EndsWith(PostgresSql, StringComparison.Ordinal), Sql);

    public static IReadOnlyList<MigrationFile> OfPostgres() => Read(n => n.EndsWith(PostgresSql, StringComparison.Ordinal), PostgresSql);

    /// <exception cref="StorageException">There is one.</exception>
    public static void RefuseNewer(IEnumerable<int> unknown)
    {
        var numbers = string.Join(", ", unknown.Order());
        if (numbers.Length > 0)
        {
            throw new StorageException($"The database was made by a newer version (migrations {numbers}). Start that version, or restore a backup.", 0);
        }
    }

    /// <summary>What is said before an old database is changed; null for a new one, or where nothing is to be done.</summary>
    public static string? Notice(bool isNew, IReadOnlyCollection<MigrationFile> missing) => isNew || missing.Count == 0 ? null
        : $"The database is brought up to date ({string.Join(", ", missing.Select(m => m.Name))}); with a million jobs that takes a while, and nothing is answered before";

    private static List<MigrationFile> Read(Func<string, bool> wanted, string ending)
    {
        var files = new SortedDictionary<int, MigrationFile>();
        foreach (var (assembly, resource) in Projects().SelectMany(a => a.GetManifestResourceNames().Where(wanted).Select(r => (a, r))))
        {
            // Resource names are folders and file joined by dots: Myelin.Jobs.Store.Migrations.0001_jobs.sql
            var name = resource[..^ending.Length].Split('.')[^1].TrimStart('_');
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            var number = int.Parse(name.Split('_')[0], CultureInfo.InvariantCulture);
            files.Add(number, new MigrationFile(number, name, reader.ReadToEnd()));
        }

        return files.Count > 0 ? [.. files.Values] : throw new StorageException("this program carries no migrations: its own assemblies are not found", 0);
    }

    /// <summary>Of all projects of ours that the program may load: each brings its own tables, and every process knows all.</summary>
    private static IEnumerable<Assembly> Projects() => ((string?)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES") ?? "")
        .Split(Path.PathSeparator)
        .Select(path => Path.GetFileNameWithoutExtension(path)!)
        .Where(name => name.StartsWith("Myelin.", StringComparison.Ordinal))
        .Select(name => Assembly.Load(new AssemblyName(name)));
}
