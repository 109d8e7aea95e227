using System.Diagnostics;
using System.Globalization;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks;

/// <summary>A page of a list, with its jobs' positions, beside a short and a long queue and history of others.</summary>
internal static class Lists
{
    private const int Rounds = 200;

    public static async Task RunAsync()
    {
        var table = new Table("engine", "queued", "ended", "100 queued with positions, ms", "newest 100, ms", "20 of a small tenant, ms", "100 failed of few, ms");
        foreach (var size in new[] { 1_000, 1_000_000 })
        {
            var folder = Directory.CreateTempSubdirectory("myelin-bench-").FullName;
            try
            {
                await using (var store = SqliteJobStore.Open(folder, TimeProvider.System, TimeSpan.FromHours(1), _ => { }))
                {
                    await store.Database.WriteAsync(
                        session =>
                        {
                            session.Execute(Fill(size, "substr('0000000' || n, -7)", $"WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {2 * size})", "0"));
                            return true;
                        },
                        CancellationToken.None);
                }

                // Opened again: depths are counted then.
                await using var filled = SqliteJobStore.Open(folder, TimeProvider.System, TimeSpan.FromHours(1), _ => { });
                await MeasureAsync(table, "SQLite", size, filled);
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }

        if (PostgresServer.IsInstalled)
        {
            await using var server = await PostgresServer.StartAsync(CancellationToken.None);
            foreach (var size in new[] { 1_000, 1_000_000 })
            {
                var database = await PostgresDatabase.CreateAsync(server, CancellationToken.None);
                await (await database.OpenAsync(TimeProvider.System)).DisposeAsync();
                for (var from = 0; from < 2 * size; from += 100_000)
                {
                    var numbers = $"WITH s AS (SELECT generate_series({from}, {Math.Min(from + 100_000, 2 * size) - 1}) AS n)";
                    await database.ExecuteAsync(Fill(size, "lpad(n::text, 7, '0')", numbers, "false"));
                }

                await database.ExecuteAsync("INSERT INTO queue_depths (model, priority, slot, depth) SELECT model, priority, 0, count(*) FROM jobs WHERE state = 0 GROUP BY 1, 2");
                await database.ExecuteAsync("ANALYZE jobs");
                await using var store = await database.OpenAsync(TimeProvider.System);
                await MeasureAsync(table, "PostgreSQL", size, store);
            }
        }

        table.Print("Lists: the cost of a page");
    }

    private static async Task MeasureAsync(Table table, string engine, int size, IJobStore store)
    {
        table.Add(
            engine,
            size,
            size,
            await MedianAsync(async () => await store.PositionsAsync(await store.ListAsync(new JobFilter("big", "m", JobState.Queued), null, 100, CancellationToken.None), CancellationToken.None)),
            await MedianAsync(async () => await store.ListAsync(new JobFilter("big"), null, 100, CancellationToken.None)),
            await MedianAsync(async () => await store.ListAsync(new JobFilter("small"), null, 20, CancellationToken.None)),
            await MedianAsync(async () => await store.ListAsync(new JobFilter("big", State: JobState.Failed), null, 100, CancellationToken.None)));
    }

    private static async Task<double> MedianAsync(Func<Task> run)
    {
        var times = new List<double>();
        for (var i = 0; i < Rounds; i++)
        {
            var start = Stopwatch.GetTimestamp();
            await run();
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        return times.Order().ElementAt(Rounds / 2);
    }

    /// <summary>The first hundred are a small tenant's, the next failed; then as many succeeded, each with a result, as wait behind them.</summary>
    private static string Fill(int size, string digits, string numbers, string no) => string.Create(
        CultureInfo.InvariantCulture,
        $"""
        {numbers}
        INSERT INTO jobs (id, tenant, model, priority, state, attempt, failures, event_id, cancel_requested, purged, created_at, result)
        SELECT '0' || {digits}, CASE WHEN n < 100 THEN 'small' ELSE 'big' END, 'm', 1, CASE WHEN n BETWEEN 100 AND 199 THEN 3 WHEN n < {size} THEN 2 ELSE 0 END,
          0, 0, 0, {no}, {no}, {size}, CASE WHEN n < {size} THEN {(no == "0" ? "zeroblob(500)" : "decode(repeat('ab', 500), 'hex')")} END FROM s
        """);
}
