using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks;

/// <summary>How late a lost lease is found while a million blobs are deleted: half of them of jobs past retention, half without a row.</summary>
internal static class Upkeep
{
    private const int Losing = 20;

    private static readonly TimeSpan s_lease = TimeSpan.FromSeconds(1);

    public static async Task RunAsync(string[] arguments)
    {
        var blobs = arguments is [var count] ? int.Parse(count, CultureInfo.InvariantCulture) : 1_000_000;
        using var folder = new TemporaryFolder();
        var options = new MyelinOptions { Data = folder.Path, Worker = new WorkerOptions { Lease = s_lease } };
        await FillAsync(options, blobs);

        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton(options).AddSingleton(TimeProvider.System);
        builder.Services.AddJobs().AddCoordinator();
        using var host = builder.Build();
        var clock = Stopwatch.StartNew();
        await host.StartAsync();
        using var stop = new CancellationTokenSource();
        var losing = Enumerable.Range(0, Losing).Select(_ => LoseAsync(host.Services, stop.Token)).ToList();
        while (Directory.EnumerateDirectories(folder.Combine("artifacts")).Any(shard => Directory.EnumerateDirectories(shard).Any()))
        {
            await Task.Delay(500);
        }

        var seconds = clock.Elapsed.TotalSeconds;
        await stop.CancelAsync();
        var found = (await Task.WhenAll(losing)).SelectMany(l => l).Order().ToList();
        await host.StopAsync();

        var table = new Table("blobs", "seconds", "blobs/s", "lost leases", "found after p50 s", "p99 s", "longest s");
        table.Add(blobs, seconds, blobs / seconds, found.Count, found[found.Count / 2], found[found.Count * 99 / 100], found[^1]);
        table.Print("Lost leases while blobs are purged and swept (SQLite, folder, jobs.coordinatorInterval 1 s)");
    }

    private static async Task FillAsync(MyelinOptions options, int blobs)
    {
        var artifacts = new FolderArtifacts(Path.Combine(options.Data, "artifacts"));
        var ids = new JobIds(new ManualTime(TimeProvider.System.GetUtcNow().AddDays(-3)));
        var jobs = Enumerable.Range(0, blobs).Select(_ => ids.Next()).ToList();
        foreach (var job in jobs)
        {
            var place = Path.Combine(options.Data, "artifacts", job[^2..], job);
            Directory.CreateDirectory(place);
            await File.WriteAllBytesAsync(Path.Combine(place, "result-1-a"), [1]); // not synced: a million syncs are not what is measured
        }

        await using var store = SqliteJobStore.Open(options.Data, TimeProvider.System, options.Jobs.Retention, _ => { });
        await artifacts.WriteMarkAsync((await new SqliteInstallationStore(store.Database).ReadAsync(CancellationToken.None)).Id, CancellationToken.None);
        await store.Database.WriteAsync(
            session =>
            {
                foreach (var job in jobs.Take(blobs / 2))
                {
                    using var insert = session.Prepare(
                        """
                        INSERT INTO jobs (id, tenant, model, priority, state, attempt, failures, event_id, cancel_requested, purged, created_at, ended_at, expires_at, artifacts)
                        VALUES (?1, 't', 'm', 1, 2, 1, 0, 1, 0, 0, 1, 1, 1, ?2)
                        """);
                    insert.Bind(1, job);
                    insert.Bind(2, Encoding.UTF8.GetBytes("""[{"name":"a","contentType":"t/t","size":1,"sha256":""}]"""));
                    insert.Run();
                }

                return 0;
            },
            CancellationToken.None);
    }

    /// <summary>Claims that nobody keeps; seconds after the end of its lease until each was back in the queue.</summary>
    private static async Task<List<double>> LoseAsync(IServiceProvider services, CancellationToken stop)
    {
        var store = services.GetRequiredService<IJobStore>();
        var ids = services.GetRequiredService<JobIds>();
        var found = new List<double>();
        while (!stop.IsCancellationRequested)
        {
            var now = TimeProvider.System.GetUtcNow();
            var job = new JobRecord { Id = ids.Next(), Tenant = "t", Model = "m", CreatedAt = now };
            await store.InsertAsync(job, [], int.MaxValue, CancellationToken.None);
            await store.ClaimAsync(job.Id, new JobLease("gone", Guid.NewGuid().ToString("n"), now + s_lease), now, CancellationToken.None);
            var clock = Stopwatch.StartNew();
            while (await store.GetAsync(job.Id, CancellationToken.None) is { State: JobState.Running })
            {
                await Task.Delay(10, CancellationToken.None);
            }

            found.Add((clock.Elapsed - s_lease).TotalSeconds);
            await store.CancelAsync(job.Id, TimeProvider.System.GetUtcNow(), CancellationToken.None);
        }

        return found;
    }
}
