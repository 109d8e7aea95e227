using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>Waits for a database that is starting itself, then brings its tables up to date.</summary>
internal static class PostgresStart
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(200);

    /// <exception cref="StorageException">It cannot be reached, refuses this user, or was made by a newer version.</exception>
    public static async Task MigrateAsync(PostgresSettings settings, TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        var source = PostgresSources.Migrations(settings);
        await using (source)
        {
            var start = time.GetTimestamp();
            while (!await TryAsync(source, last: time.GetElapsedTime(start) >= settings.StartTimeout, time, logger, cancellationToken))
            {
                await Task.Delay(s_pause, time, cancellationToken);
            }
        }
    }

    /// <returns>False where waiting may help.</returns>
    private static async Task<bool> TryAsync(NpgsqlDataSource source, bool last, TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        try
        {
            var connection = await source.OpenConnectionAsync(cancellationToken);
            await using (connection)
            {
                await PostgresChecks.RunAsync(connection, logger, cancellationToken);
                await PostgresMigrations.RunAsync(connection, time, logger, cancellationToken);
                return true;
            }
        }
        catch (Exception e) when (PostgresFaults.IsFault(e) && (last || PostgresFaults.KindOf(e) != FaultKind.Lost || PostgresFaults.IsHopeless(e)))
        {
            throw new StorageUnavailableException(
                $"{PostgresFaults.ToStorage(e).Message}. Check that it runs, and storage.connection: host, port, user, password, database.", e);
        }
        catch (Exception e) when (PostgresFaults.IsFault(e))
        {
            return false;
        }
    }
}
