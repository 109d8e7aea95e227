using System.Diagnostics;
using Myelin.Jobs.Store.Sqlite;

namespace Myelin.Benchmarks;

/// <summary>The store alone: durable inserts, next to what the disk gives one writer that syncs every write.</summary>
internal static class Storage
{
    public static async Task RunAsync()
    {
        var folder = Directory.CreateTempSubdirectory("myelin-bench-").FullName;
        try
        {
            var fsyncs = Fsyncs(folder, TimeSpan.FromSeconds(2));
            var table = new Table("callers", "inserts/s", "mean ms", "jobs per commit", "fsync/s of the disk alone", "inserts per fsync");
            foreach (var callers in new[] { 1, 16, 256 })
            {
                var (rate, perCommit) = await InsertsAsync(Path.Combine(folder, $"{callers}"), callers, TimeSpan.FromSeconds(4));
                table.Add(callers, rate, callers / rate * 1000, perCommit, fsyncs, rate / fsyncs);
            }

            table.Print("Durable inserts into SQLite (WAL, synchronous=FULL, group commit)");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        await PostgresStorage.RunAsync();
    }

    private static async Task<(double Rate, double PerCommit)> InsertsAsync(string folder, int callers, TimeSpan duration)
    {
        var commits = 0L;
        await using var store = SqliteJobStore.Open(folder, TimeProvider.System, TimeSpan.FromHours(1), _ => commits++);
        var (inserted, seconds) = await StoreLoad.InsertAsync(store, callers, duration);
        return (inserted.Count / seconds, (double)inserted.Count / commits);
    }

    private static double Fsyncs(string folder, TimeSpan duration)
    {
        using var file = new FileStream(Path.Combine(folder, "fsync"), FileMode.Create, FileAccess.Write, FileShare.None, 1);
        var block = new byte[4096];
        var clock = Stopwatch.StartNew();
        var count = 0;
        for (; clock.Elapsed < duration; count++)
        {
            file.Write(block);
            file.Flush(flushToDisk: true);
        }

        return count / clock.Elapsed.TotalSeconds;
    }
}
