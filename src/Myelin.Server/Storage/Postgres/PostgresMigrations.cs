using Npgsql;
using NpgsqlTypes;

namespace Myelin.Server.Storage.Postgres;

/// <summary>
/// The numbered SQL files (see <see cref="MigrationFiles"/>), each run once and in a transaction of its own, by one
/// process at a time: an advisory lock of the session keeps others waiting, and the end of the session frees it. Old
/// and new versions run side by side during an upgrade, so migrations only add; one that an older program cannot live
/// with says so in its first line (<c>-- incompatible</c>), and older programs then refuse to start.
/// </summary>
internal static partial class PostgresMigrations
{
    /// <summary>"myelin" in ASCII.</summary>
    private const long Lock = 0x6d79656c696e;

    private const string Incompatible = "-- incompatible";

    public static async Task RunAsync(NpgsqlConnection connection, ILogger logger, CancellationToken cancellationToken)
    {
        await ExecuteAsync(connection, $"SELECT pg_advisory_lock({Lock})", cancellationToken);
        try
        {
            await ExecuteAsync(
                connection,
                """
                CREATE TABLE IF NOT EXISTS migrations (
                  number integer PRIMARY KEY, name text NOT NULL, incompatible boolean NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
                """,
                cancellationToken);
            var known = await KnownAsync(connection, cancellationToken);
            var files = MigrationFiles.OfPostgres();
            MigrationFiles.RefuseNewer(known.Where(k => k.Value && files.All(f => f.Number != k.Key)).Select(k => k.Key));
            List<MigrationFile> missing = [.. files.Where(f => !known.ContainsKey(f.Number))];
            if (MigrationFiles.Notice(known.Count == 0, missing) is { } notice)
            {
                LogNotice(logger, notice);
            }

            foreach (var file in missing)
            {
                await ApplyAsync(connection, file, cancellationToken);
            }
        }
        finally
        {
            await ExecuteAsync(connection, $"SELECT pg_advisory_unlock({Lock})", CancellationToken.None);
        }
    }

    private static async Task ApplyAsync(NpgsqlConnection connection, MigrationFile file, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await ExecuteAsync(connection, file.Sql, cancellationToken);
        await using var record = new NpgsqlCommand("INSERT INTO migrations (number, name, incompatible) VALUES ($1, $2, $3)", connection)
        {
            Parameters =
            {
                new() { Value = file.Number },
                new() { Value = file.Name },
                new() { Value = file.Sql.StartsWith(Incompatible, StringComparison.Ordinal), NpgsqlDbType = NpgsqlDbType.Boolean },
            },
        };
        await record.ExecuteNonQueryAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    /// <summary>Number → whether programs that do not know it must stay away.</summary>
    private static async Task<Dictionary<int, bool>> KnownAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var known = new Dictionary<int, bool>();
        await using var command = new NpgsqlCommand("SELECT number, incompatible FROM migrations", connection);
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken))
        {
            known.Add(rows.GetInt32(0), rows.GetBoolean(1));
        }

        return known;
    }

    /// <summary>Constants of this program and its embedded files only.</summary>
    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    [LoggerMessage(LogLevel.Information, "{notice}")]
    private static partial void LogNotice(ILogger logger, string notice);
}
