using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>What a server must be, and what its operator should know.</summary>
internal static partial class PostgresChecks
{
    /// <summary>Older ones were never tried.</summary>
    private const int Oldest = 13;

    /// <exception cref="StorageException">The server is too old, or its text is not UTF-8.</exception>
    public static async Task RunAsync(NpgsqlConnection connection, ILogger logger, CancellationToken cancellationToken)
    {
        if (connection.PostgreSqlVersion.Major < Oldest)
        {
            throw new StorageException($"PostgreSQL {connection.PostgreSqlVersion} is too old; it takes {Oldest} or newer.", 0);
        }

        await using var command = new NpgsqlCommand(
            "SELECT current_setting('server_encoding'), current_setting('fsync'), current_setting('synchronous_commit')", connection);
        await using var row = await command.ExecuteReaderAsync(cancellationToken);
        await row.ReadAsync(cancellationToken);
        if (row.GetString(0) != "UTF8")
        {
            throw new StorageException($"The database's encoding is {row.GetString(0)}; create one with ENCODING 'UTF8'.", 0);
        }

        if (row.GetString(1) == "off" || row.GetString(2) == "off")
        {
            LogNotDurable(logger, row.GetString(1), row.GetString(2));
        }
    }

    [LoggerMessage(LogLevel.Warning, "PostgreSQL runs with fsync = {Fsync} and synchronous_commit = {Commit}: accepted jobs can be lost in a crash")]
    private static partial void LogNotDurable(ILogger logger, string fsync, string commit);
}
