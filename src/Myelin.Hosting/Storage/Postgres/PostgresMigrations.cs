using System.Text.RegularExpressions;
using Npgsql;
using NpgsqlTypes;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>
/// The numbered SQL files (see <see cref="MigrationFiles"/>), each run once, by one process at a time: an advisory lock of
/// the session keeps others waiting, and the end of the session frees it. Old and new versions run side by side during an
/// upgrade, so migrations only add; one that an older program cannot live with says so in its first line
/// (<c>-- incompatible</c>), and older programs then refuse to start.
/// <para>
/// Nor may one make the others wait while it runs over a large table. A file runs in one transaction; one that begins with
/// <c>-- online</c> runs statement by statement (each ends a line with its semicolon) outside any, as CREATE INDEX
/// CONCURRENTLY must. Such a statement is repeatable: an attempt that broke off is begun again from the first. Everything
/// else waits for its locks only briefly and tries again, because whoever wants a table queues behind a waiting ALTER.
/// </para>
/// </summary>
internal static partial class PostgresMigrations
{
    /// <summary>"myelin" in ASCII.</summary>
    private const long Lock = 0x6d79656c696e;

    private const string Incompatible = "-- incompatible";
    private const string Online = "-- online";

    /// <summary>Tries for a table that a long transaction holds: with their pauses about two minutes.</summary>
    private const int Tries = 100;

    /// <summary>Old processes' writes stand still for as long, once per try; they give up after five seconds.</summary>
    private const int LockMilliseconds = 200;

    private static readonly TimeSpan s_turn = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    public static async Task RunAsync(NpgsqlConnection connection, TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            await TakeTurnAsync(connection, time, cancellationToken);
            try
            {
                await MigrateAsync(connection, logger, cancellationToken);
                await ExecuteAsync(connection, $"SELECT pg_advisory_unlock({Lock})", cancellationToken);
                return;
            }
            catch (PostgresException e) when (PostgresFaults.KindOf(e) is FaultKind.Blocked or FaultKind.Again && attempt < Tries)
            {
                // Processes of an older version wait for their turn inside pg_advisory_lock, and an index would wait for them: they go first.
                await ExecuteAsync(connection, $"SELECT pg_advisory_unlock({Lock})", cancellationToken);
                LogAgain(logger, attempt, Tries, e.MessageText);
                await Task.Delay(s_again, time, cancellationToken);
            }
        }
    }

    private static async Task MigrateAsync(NpgsqlConnection connection, ILogger logger, CancellationToken cancellationToken)
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
            await (file.Sql.StartsWith(Online, StringComparison.Ordinal)
                ? ApplyOnlineAsync(connection, file, cancellationToken)
                : ApplyAsync(connection, file, cancellationToken));
        }
    }

    /// <summary>
    /// Asks again and again: a session that waits inside pg_advisory_lock holds a snapshot, which the index that the other
    /// process makes concurrently would wait for. As long as the other one lives and works, this one waits.
    /// </summary>
    private static async Task TakeTurnAsync(NpgsqlConnection connection, TimeProvider time, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand($"SELECT pg_try_advisory_lock({Lock})", connection);
        while (await command.ExecuteScalarAsync(cancellationToken) is not true)
        {
            await Task.Delay(s_turn, time, cancellationToken);
        }
    }

    private static async Task ApplyAsync(NpgsqlConnection connection, MigrationFile file, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await ExecuteAsync(connection, $"SET LOCAL lock_timeout = {LockMilliseconds}", cancellationToken);
        await ExecuteAsync(connection, file.Sql, cancellationToken);
        await RecordAsync(connection, file, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    private static async Task ApplyOnlineAsync(NpgsqlConnection connection, MigrationFile file, CancellationToken cancellationToken)
    {
        foreach (var statement in StatementEnd.Split(file.Sql).Where(s => !string.IsNullOrWhiteSpace(s)))
        {
            var index = ConcurrentIndex.Match(statement);

            // An index that is made beside the writers waits for their transactions and holds up nobody meanwhile.
            await ExecuteAsync(connection, $"SET lock_timeout = {(index.Success ? 0 : LockMilliseconds)}", cancellationToken);
            if (index.Success && await IsBrokenAsync(connection, index.Groups["name"].Value, cancellationToken))
            {
                await ExecuteAsync(connection, $"DROP INDEX CONCURRENTLY IF EXISTS {index.Groups["name"].Value}", cancellationToken);
            }

            await ExecuteAsync(connection, statement, cancellationToken);
        }

        await RecordAsync(connection, file, cancellationToken);
    }

    /// <summary>Whether an attempt that broke off left it: the name is taken, and no statement may use it.</summary>
    private static async Task<bool> IsBrokenAsync(NpgsqlConnection connection, string index, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)", connection)
        {
            Parameters = { new() { Value = index } },
        };
        return await command.ExecuteScalarAsync(cancellationToken) is true;
    }

    private static async Task RecordAsync(NpgsqlConnection connection, MigrationFile file, CancellationToken cancellationToken)
    {
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

    [GeneratedRegex(@"(?<=;)[ \t]*\r?$", RegexOptions.Multiline)]
    private static partial Regex StatementEnd { get; }

    [GeneratedRegex(@"CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?<name>\w+)")]
    private static partial Regex ConcurrentIndex { get; }

    [LoggerMessage(LogLevel.Warning, "The database could not be brought up to date yet, try {Try} of {Tries}: {Reason}. A long transaction, such as a backup's, may hold a table; tried again")]
    private static partial void LogAgain(ILogger logger, int @try, int tries, string reason);

    [LoggerMessage(LogLevel.Information, "{notice}")]
    private static partial void LogNotice(ILogger logger, string notice);
}
