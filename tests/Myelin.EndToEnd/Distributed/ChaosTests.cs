using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>
/// Two gateways, three workers, two coordinators over PostgreSQL, Kafka and S3, as <c>./dev cluster</c> brings them up;
/// everything is killed and started again at random while jobs are submitted. <c>./dev e2e</c> runs it with 20,000 jobs
/// (<c>MYELIN_CHAOS_JOBS</c>); <c>MYELIN_TEST_SEED</c> repeats an order of kills.
/// </summary>
[Collection(nameof(WholeMachine))]
public sealed class ChaosTests
{
    private readonly SortedDictionary<string, int> _kills = [];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Everything_KilledAtRandom_EveryAcceptedJobEndsExactlyOnceAndInOrder()
    {
        var seed = Number("MYELIN_TEST_SEED", Environment.TickCount);
        var jobs = Number("MYELIN_CHAOS_JOBS", 2000);
        Say($"MYELIN_TEST_SEED={seed} MYELIN_CHAOS_JOBS={jobs}");
        using var models = new ModelFolders();
        models.AddIris();
        await using var cluster = await LocalCluster.StartAsync(new LocalClusterPlan { Workers = 3, Settings = Settings(models) }, Token);
        var audit = new JobAudit(cluster.Database);
        await audit.StartAsync();
        var clock = Stopwatch.StartNew();
        var load = new ClusterLoad(cluster.Gateways, jobs, clients: 16);

        var submitting = load.RunAsync(Token);
        await KillUntilAsync(submitting, cluster, new Random(seed));
        await submitting;
        Say($"{load.Accepted.Count} accepted after {clock.Elapsed.TotalSeconds:0} s; waiting for the ends");
        await audit.EndAllAsync(() => cluster.Logs);

        Say(await TallyAsync(audit, cluster, load, clock.Elapsed));
        await load.CheckAsync(audit, cluster.Logs);
        await CheckArtifactsAsync(cluster, load, new Random(seed));
    }

    /// <summary>Those of impatient people: what is lost is noticed within seconds.</summary>
    private static Dictionary<string, string> Settings(ModelFolders models) => new()
    {
        ["MYELIN_MODELS"] = models.Root,
        ["MYELIN_STORAGE_COORDINATOR_LEASE"] = "2s",
        ["MYELIN_BUS_KAFKA_SESSION_TIMEOUT"] = "6s",
        ["MYELIN_WORKER_LEASE"] = "3s",
        ["MYELIN_JOBS_COORDINATOR_INTERVAL"] = "200ms",
        ["MYELIN_JOBS_QUEUE_LIMIT"] = "3000",
        ["MYELIN_JOBS_MAX_ATTEMPTS"] = "100",
        ["MYELIN_JOBS_ANNOUNCE_AFTER"] = "3s",
        ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning",
    };

    /// <summary>One part at a time goes, another may go before it is back; each part at least once.</summary>
    private async Task KillUntilAsync(Task submitting, LocalCluster cluster, Random random)
    {
        string[] parts = ["worker", "gateway", "coordinator", "postgres", "kafka"];
        var restarts = new Dictionary<string, Task>();
        for (var round = 0; !submitting.IsCompleted || round < parts.Length; round++)
        {
            var part = round < parts.Length ? parts[round] : parts[random.Next(parts.Length)];
            string[] victims = [.. cluster.Processes.Where(process => process.StartsWith(part, StringComparison.Ordinal)).DefaultIfEmpty(part)];
            var victim = victims[random.Next(victims.Length)];
            var (down, way, pause) = (random.Next(0, 3000), random.Next(4) switch { 0 => Way.Terminate, 1 => Way.Interrupt, _ => Way.Kill }, random.Next(500, 4000));
            if (restarts.TryGetValue(victim, out var before))
            {
                await before; // it is back
            }

            restarts[victim] = RestartAsync(cluster, victim, way, TimeSpan.FromMilliseconds(down));
            var kill = $"{part} by {way}";
            _kills[kill] = _kills.GetValueOrDefault(kill) + 1;
            await Task.WhenAny(Task.Delay(pause, Token), Task.WhenAll(submitting));
        }

        await Task.WhenAll(restarts.Values);
    }

    private static async Task RestartAsync(LocalCluster cluster, string victim, Way way, TimeSpan down)
    {
        await (way switch
        {
            Way.Terminate => cluster.StopAsync(victim, Token),
            Way.Interrupt => cluster.InterruptAsync(victim, Token),
            _ => cluster.KillAsync(victim, Token),
        });
        await Task.Delay(down, Token);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await cluster.StartAsync(victim, Token);
                return;
            }
            catch (InvalidOperationException) when (attempt < 5)
            {
                // As an orchestrator does: a process that gave up, because the database was away for too long, is started again.
                await Task.Delay(500, Token);
            }
        }
    }

    private async Task<string> TallyAsync(JobAudit audit, LocalCluster cluster, ClusterLoad load, TimeSpan took)
    {
        var attempts = await audit.TextsAsync("SELECT count(*) || '×' || attempt FROM jobs GROUP BY attempt ORDER BY attempt");
        var waits = await audit.TextsAsync(
            "SELECT string_agg(round(p / 1000)::text || ' ms', ' / ') FROM (SELECT unnest(percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY started_at - created_at)) AS p FROM jobs) q");
        var refused = cluster.Processes.Sum(process => cluster.Log(process).Split("belongs to somebody else").Length - 1);
        return $"""
            {load.Accepted.Count} accepted and ended in {took.TotalSeconds:0} s ({load.Accepted.Count / took.TotalSeconds:0}/s), attempts {string.Join(", ", attempts)}
            killed or stopped: {string.Join(", ", _kills.Select(kill => $"{kill.Key} {kill.Value}"))}
            submissions repeated: {string.Join(", ", load.Repeats.Select(repeat => $"{repeat.Key} {repeat.Value}"))}; late results refused: {refused}
            accepted to started p50 / p99: {waits[0]}
            """;
    }

    /// <summary>Pictures in and out of two hundred jobs are what their descriptions say, through either gateway.</summary>
    private static async Task CheckArtifactsAsync(LocalCluster cluster, ClusterLoad load, Random random)
    {
        var pictures = load.Accepted.Where(pair => int.Parse(pair.Key[4..], CultureInfo.InvariantCulture) % 20 == 7).Select(pair => pair.Value).ToArray();
        random.Shuffle(pictures);
        var sent = SHA256.HashData(load.Picture.Span);
        foreach (var (id, index) in pictures.Take(200).Select((id, index) => (id, index)))
        {
            var http = cluster.Gateways[index % 2];
            using var response = await http.GetAsync(new Uri($"/v1/jobs/{id}", UriKind.Relative), Token);
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            var job = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(Token), JsonContext.Default.Job)!;
            SHA256.HashData(await http.GetByteArrayAsync(new Uri(job.Inputs.Single().Url!, UriKind.Relative), Token)).ShouldBe(sent);
            var annotated = await http.GetByteArrayAsync(new Uri(job.Artifacts.Single().Url!, UriKind.Relative), Token);
            Convert.ToHexStringLower(SHA256.HashData(annotated)).ShouldBe(job.Artifacts.Single().Sha256);
        }
    }

    private enum Way
    {
        Kill,
        Terminate,
        Interrupt,
    }

    private static void Say(string line) => TestContext.Current.TestOutputHelper!.WriteLine(line);

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var given) ? given : otherwise;
}
