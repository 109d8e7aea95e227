using System.Diagnostics;
using System.Diagnostics.Metrics;
using Myelin.Testing;
using Npgsql;

namespace Myelin.Benchmarks;

/// <summary>The PostgreSQL store alone, next to what the engine gives one connection that commits every row.</summary>
internal static class PostgresStorage
{
    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(4);

    public static async Task RunAsync()
    {
        if (!PostgresServer.IsInstalled)
        {
            Console.WriteLine("\nPostgreSQL is not installed (apt-get install postgresql): its rows are left out.");
            return;
        }

        await using var server = await PostgresServer.StartAsync(CancellationToken.None);
        var raw = await RawInsertsAsync(await PostgresDatabase.CreateAsync(server, CancellationToken.None));
        var table = new Table("callers", "inserts/s", "mean ms", "jobs per commit", "claims/s", "raw INSERT/s of one connection", "inserts per raw INSERT");
        foreach (var callers in new[] { 1, 16, 256 })
        {
            var (rate, perCommit, claims) = await MeasureAsync(await PostgresDatabase.CreateAsync(server, CancellationToken.None), callers);
            table.Add(callers, rate, callers / rate * 1000, perCommit, claims, raw, rate / raw);
        }

        table.Print("Durable inserts and claims in PostgreSQL (fsync on, loopback TCP, one process, group commit)");
        await DeepAsync(server);
    }

    /// <summary>Claims must cost the same with a long queue behind them.</summary>
    private static async Task DeepAsync(PostgresServer server)
    {
        var table = new Table("queued jobs", "claims/s, 16 callers", "one page of 1,000 hints, ms", "position of the last, ms");
        foreach (var depth in new[] { 1_000, 100_000 })
        {
            var database = await PostgresDatabase.CreateAsync(server, CancellationToken.None);
            await using var store = await database.OpenAsync(TimeProvider.System);
            var ids = new List<string>();
            while (ids.Count < depth)
            {
                ids.AddRange((await StoreLoad.InsertAsync(store, 512, TimeSpan.FromMilliseconds(50))).Ids);
            }

            var last = (await store.GetAsync(ids.Max()!, CancellationToken.None))!;
            var clock = Stopwatch.StartNew();
            await store.QueuedAsync(null, 1000, CancellationToken.None);
            var page = clock.Elapsed.TotalMilliseconds;
            clock.Restart();
            await store.PositionsAsync([last], CancellationToken.None);
            var position = clock.Elapsed.TotalMilliseconds;
            table.Add(ids.Count, await StoreLoad.ClaimsPerSecondAsync(store, ids, 16, s_duration), page, position);
        }

        table.Print("PostgreSQL with a long queue");
    }

    private static async Task<(double Inserts, double PerCommit, double Claims)> MeasureAsync(PostgresDatabase database, int callers)
    {
        var (operations, commits) = (0L, 0L);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Name == "myelin.storage.commit_size")
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<int>((_, count, _, _) => (operations, commits) = (operations + count, commits + 1));
        listener.Start();
        await using var store = await database.OpenAsync(TimeProvider.System);
        var (ids, seconds) = await StoreLoad.InsertAsync(store, callers, s_duration);
        var perCommit = (double)operations / commits;
        return (ids.Count / seconds, perCommit, await StoreLoad.ClaimsPerSecondAsync(store, ids, callers, s_duration));
    }

    /// <summary>A prepared INSERT of the same width, a transaction each, one after the other.</summary>
    internal static async Task<double> RawInsertsAsync(PostgresDatabase database)
    {
        await database.ExecuteAsync("CREATE TABLE raw (seq bigserial PRIMARY KEY, id text UNIQUE, tenant text, model text, created_at bigint, parameters bytea)");
        await using var connection = new NpgsqlConnection(database.Connection);
        await connection.OpenAsync();
        var id = new NpgsqlParameter<string> { TypedValue = "" };
        await using var insert = new NpgsqlCommand("INSERT INTO raw (id, tenant, model, created_at, parameters) VALUES ($1, 'local', 'faces', $2, $3)", connection)
        {
            Parameters = { id, new NpgsqlParameter<long> { TypedValue = 1 }, new NpgsqlParameter<byte[]> { TypedValue = new byte[34] } },
        };
        await insert.PrepareAsync();
        var clock = Stopwatch.StartNew();
        var count = 0;
        for (; clock.Elapsed < s_duration; count++)
        {
            id.TypedValue = Guid.NewGuid().ToString("n")[..26];
            await insert.ExecuteNonQueryAsync();
        }

        return count / clock.Elapsed.TotalSeconds;
    }
}
