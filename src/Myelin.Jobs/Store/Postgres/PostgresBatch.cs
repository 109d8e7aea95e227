using System.Security.Cryptography;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>
/// One transaction of the writer: every statement of the batch, then the depths and the clock, sent together and
/// committed by the server without another word from here. So nothing is locked while this process thinks. Owned by the
/// writer's loop.
/// </summary>
internal sealed class PostgresBatch(NpgsqlDataSource source, QueueDepths depths, SharedClock clock, TimeProvider time, Action<int> committed) : IAsyncDisposable
{
    private const string Clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    private const string Depths = "SELECT model, priority, sum(depth)::integer FROM queue_depths GROUP BY model, priority HAVING sum(depth) > 0";

    /// <summary>This process's counters; random, so that processes do not meet. 0 is the coordinator's.</summary>
    private readonly int _slot = RandomNumberGenerator.GetInt32(1, int.MaxValue);

    private NpgsqlConnection? _connection;
    private bool _sent;

    /// <summary>Runs the writes in one transaction and answers them once it is durable; without writes it only reads.</summary>
    public async Task CommitAsync(IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        _sent = false;
        _connection ??= await source.OpenConnectionAsync(cancellationToken);
        var groups = writes.GroupBy(w => w.Statement).OrderBy(g => g.Key.Order)
            .Select(g => (Statement: g.Key, Writes: (IReadOnlyList<PostgresWrite>)[.. g.OrderBy(w => w.Job, StringComparer.Ordinal)])).ToList();
        List<(string, JobPriority, int)> counts;
        var batch = new NpgsqlBatch(_connection);
        await using (batch)
        {
            foreach (var (statement, own) in groups)
            {
                statement.Send(batch, own, _slot);
            }

            batch.BatchCommands.Add(new NpgsqlBatchCommand(Depths));
            batch.BatchCommands.Add(new NpgsqlBatchCommand(Clock));
            var start = time.GetTimestamp();
            _sent = true;
            var reader = await batch.ExecuteReaderAsync(cancellationToken);
            await using (reader)
            {
                foreach (var (statement, own) in groups)
                {
                    await statement.ReadAsync(reader, own, cancellationToken);
                }

                counts = await ReadDepthsAsync(reader, cancellationToken);
                await reader.ReadAsync(cancellationToken);
                clock.Observe(StoredTime.FromMicroseconds(reader.GetInt64(0)), time.GetElapsedTime(start));

                // The end of the results is the end of the transaction: only now it is durable.
                await reader.NextResultAsync(cancellationToken);
            }
        }

        _sent = false;
        depths.Replace(counts);
        foreach (var (statement, own) in groups)
        {
            statement.Finish(own, depths);
        }

        if (writes.Count > 0)
        {
            committed(writes.Count);
        }

        foreach (var write in writes)
        {
            write.Complete();
        }
    }

    /// <summary>Lets go of the connection after a fault.</summary>
    /// <returns>True where a batch was sent and its outcome is unknown.</returns>
    public async ValueTask<bool> ResetAsync()
    {
        var sent = _sent;
        _sent = false;
        if (_connection is { } connection)
        {
            _connection = null;
            await connection.DisposeAsync();
        }

        return sent;
    }

    public async ValueTask DisposeAsync() => await ResetAsync();

    private static async Task<List<(string, JobPriority, int)>> ReadDepthsAsync(NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        var counts = new List<(string, JobPriority, int)>();
        while (await reader.ReadAsync(cancellationToken))
        {
            counts.Add((reader.GetString(0), (JobPriority)reader.GetInt16(1), reader.GetInt32(2)));
        }

        await reader.NextResultAsync(cancellationToken);
        return counts;
    }
}
