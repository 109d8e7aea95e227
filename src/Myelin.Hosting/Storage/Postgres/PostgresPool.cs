using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>Whether a command whose answer was lost is sent again.</summary>
internal enum Repeat
{
    /// <summary>Doing it twice is as doing it once: reads, and writes of fixed values.</summary>
    Harmless,

    /// <summary>The caller hears that it may have been done.</summary>
    Never,
}

/// <summary>
/// Connections to the database that several processes share, for reads and for single writes. Any capability keeps its
/// tables there: a migration file, and commands run here, each a transaction of its own. What a command's loss means is
/// said by <see cref="Repeat"/>.
/// </summary>
internal sealed class PostgresPool : IAsyncDisposable
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);

    private readonly NpgsqlDataSource _source;
    private readonly TimeSpan _patience;
    private readonly TimeProvider _time;
    private volatile bool _disposed;

    private PostgresPool(PostgresSettings settings, TimeProvider time) =>
        (_source, _patience, _time) = (PostgresSources.Pool(settings), settings.Patience, time);

    /// <inheritdoc cref="PostgresStart.MigrateAsync"/>
    public static async Task<PostgresPool> OpenAsync(PostgresSettings settings, TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        await PostgresStart.MigrateAsync(settings, time, logger, cancellationToken);
        return new PostgresPool(settings, time);
    }

    /// <summary>Every row that the command gives.</summary>
    /// <exception cref="StorageUnavailableException">Away for too long, or gone in the middle: what was sent may have been stored.</exception>
    public Task<List<T>> QueryAsync<T>(
        Repeat repeat, string sql, Action<NpgsqlParameterCollection> parameters, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken) =>
        TryAsync(
            repeat,
            sql,
            parameters,
            async (command, token) =>
            {
                var found = new List<T>();
                var rows = await command.ExecuteReaderAsync(token);
                await using (rows)
                {
                    while (await rows.ReadAsync(token))
                    {
                        found.Add(read(rows));
                    }
                }

                return found;
            },
            cancellationToken);

    /// <summary>How many rows the command changed.</summary>
    /// <inheritdoc cref="QueryAsync"/>
    public Task<int> ExecuteAsync(Repeat repeat, string sql, Action<NpgsqlParameterCollection> parameters, CancellationToken cancellationToken) =>
        TryAsync(repeat, sql, parameters, static (command, token) => command.ExecuteNonQueryAsync(token), cancellationToken);

    public ValueTask DisposeAsync()
    {
        _disposed = true;
        return _source.DisposeAsync();
    }

    private async Task<T> TryAsync<T>(
        Repeat repeat, string sql, Action<NpgsqlParameterCollection> parameters, Func<NpgsqlCommand, CancellationToken, Task<T>> run, CancellationToken cancellationToken)
    {
        var start = _time.GetTimestamp();
        while (true)
        {
            if (_disposed)
            {
                throw new StorageClosedException();
            }

            var sent = false;
            try
            {
                var connection = await _source.OpenConnectionAsync(cancellationToken);
                await using (connection)
                {
                    var command = new NpgsqlCommand(sql, connection);
                    await using (command)
                    {
                        parameters(command.Parameters);
                        sent = true;
                        return await run(command, cancellationToken);
                    }
                }
            }
            catch (Exception e) when (PostgresFaults.IsFault(e))
            {
                var kind = PostgresFaults.KindOf(e);
                var again = kind == FaultKind.Again || (kind == FaultKind.Lost && (repeat == Repeat.Harmless || !sent));
                if (!again || _time.GetElapsedTime(start) >= _patience)
                {
                    throw PostgresFaults.ToStorage(e);
                }
            }

            await Task.Delay(s_pause, _time, cancellationToken);
        }
    }
}
