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
/// Two gateways, three workers, two coordinators over a PostgreSQL and a Kafka broker of their own; everything is killed
/// and started again at random while jobs are submitted. <c>./dev e2e</c> runs it with 20,000 jobs
/// (<c>MYELIN_CHAOS_JOBS</c>); <c>MYELIN_TEST_SEED</c> repeats an order of kills.
/// </summary>
public sealed class ChaosTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);

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
        await using var s3 = await S3Server.StartAsync();
        await using var cluster = await Cluster.StartAsync(
            new ClusterPlan { Gateways = 2, Workers = 3, Coordinators = 2, OwnPostgres = true, OwnKafka = true, Settings = Settings(models, s3) }, Token);
        var audit = new JobAudit(cluster);
        await audit.StartAsync();
        var clock = Stopwatch.StartNew();
        var load = new ClusterLoad(cluster, jobs, clients: 16);

        var submitting = load.RunAsync(Token);
        await KillUntilAsync(submitting, cluster, new Random(seed));
        await submitting;
        Say($"{load.Accepted.Count} accepted after {clock.Elapsed.TotalSeconds:0} s; waiting for the ends");
        await EndAllAsync(audit, cluster);

        Say(await TallyAsync(audit, cluster, load, clock.Elapsed));
        load.Accepted.Count.ShouldBe(jobs);
        load.Accepted.Values.Distinct().Count().ShouldBe(jobs, "two submissions became one job");
        (await audit.CountAsync("SELECT count(*) FROM jobs")).ShouldBe(jobs, "a repeated submission became a second job");
        (await audit.NotEndedOnceAsync()).ShouldBeEmpty(cluster.Logs);
        (await audit.CountAsync("SELECT count(*) FROM jobs WHERE state <> 2")).ShouldBe(0, string.Join('\n', await FailuresAsync(audit)));
        (await audit.OvertakenAsync()).ShouldBeEmpty();
        foreach (var (key, ids) in load.Keys)
        {
            (await audit.OfKeyAsync(key)).ShouldBe(ids, $"the jobs of {key} were accepted in another order than submitted");
        }

        await CheckArtifactsAsync(cluster, load, new Random(seed));
    }

    private static Dictionary<string, string> Settings(ModelFolders models, S3Server s3) => new()
    {
        ["MYELIN_MODELS"] = models.Root,
        ["MYELIN_JOBS_QUEUE_LIMIT"] = "3000",
        ["MYELIN_JOBS_MAX_ATTEMPTS"] = "100",
        ["MYELIN_JOBS_ANNOUNCE_AFTER"] = "3s",
        ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning",
        ["MYELIN_ARTIFACTS_S3_BUCKET"] = S3Server.Bucket,
        ["MYELIN_ARTIFACTS_S3_ENDPOINT"] = s3.Endpoint,
        ["MYELIN_ARTIFACTS_S3_ACCESS_KEY"] = S3Server.AccessKey,
        ["MYELIN_ARTIFACTS_S3_SECRET_KEY"] = S3Server.SecretKey,
    };

    /// <summary>One part at a time goes, another may go before it is back; each part at least once.</summary>
    private async Task KillUntilAsync(Task submitting, Cluster cluster, Random random)
    {
        string[] parts = ["worker", "gateway", "coordinator", "postgres", "kafka"];
        var restarts = new Dictionary<object, Task>();
        for (var round = 0; !submitting.IsCompleted || round < parts.Length; round++)
        {
            var part = round < parts.Length ? parts[round] : parts[random.Next(parts.Length)];
            object victim = part switch
            {
                "worker" => cluster.Workers[random.Next(cluster.Workers.Count)],
                "gateway" => cluster.Gateways[random.Next(cluster.Gateways.Count)],
                "coordinator" => cluster.Coordinators[random.Next(cluster.Coordinators.Count)],
                "postgres" => cluster.Postgres,
                _ => cluster.Kafka,
            };
            var (down, gentle, pause) = (random.Next(0, 3000), random.Next(4) == 0, random.Next(500, 4000));
            if (restarts.TryGetValue(victim, out var before))
            {
                await before; // it is back
            }

            restarts[victim] = RestartAsync(victim, gentle, TimeSpan.FromMilliseconds(down));
            _kills[part] = _kills.GetValueOrDefault(part) + 1;
            await Task.WhenAny(Task.Delay(pause, Token), Task.WhenAll(submitting));
        }

        await Task.WhenAll(restarts.Values);
    }

    private static async Task RestartAsync(object victim, bool gentle, TimeSpan down)
    {
        switch (victim)
        {
            case ServerProcess process:
                await (gentle ? process.TerminateAsync(TimeSpan.FromMinutes(2)) : process.KillAsync());
                await Task.Delay(down, Token);
                await StartAsync(process);
                break;
            case PostgresServer postgres:
                await postgres.KillAsync();
                await Task.Delay(down, Token);
                await postgres.RestartAsync(Token);
                break;
            case KafkaBroker kafka:
                await (gentle ? kafka.StopAsync() : kafka.KillAsync());
                await Task.Delay(down, Token);
                await kafka.StartAsync();
                break;
        }
    }

    /// <summary>As an orchestrator does: a process that gives up, because the database was away for too long, is started again.</summary>
    private static async Task StartAsync(ServerProcess process)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await process.StartAsync(Token);
                return;
            }
            catch (InvalidOperationException) when (attempt < 5)
            {
                await Task.Delay(500, Token);
            }
        }
    }

    private static async Task EndAllAsync(JobAudit audit, Cluster cluster)
    {
        var (open, since) = (await audit.OpenAsync(), Stopwatch.StartNew());
        while (open > 0)
        {
            await Task.Delay(500, Token);
            var now = await audit.OpenAsync();
            if (now < open)
            {
                (open, since) = (now, Stopwatch.StartNew());
            }

            since.Elapsed.ShouldBeLessThan(s_patience, $"{now} jobs do not end:\n{string.Join('\n', await FailuresAsync(audit))}\n{cluster.Logs}");
        }
    }

    private static Task<List<string>> FailuresAsync(JobAudit audit) => audit.TextsAsync(
        "SELECT id || ' state ' || state || ' attempt ' || attempt || ' key ' || coalesce(key, '-') || ' ' || coalesce(convert_from(error, 'UTF8'), '') FROM jobs WHERE state <> 2 ORDER BY seq LIMIT 20");

    private async Task<string> TallyAsync(JobAudit audit, Cluster cluster, ClusterLoad load, TimeSpan took)
    {
        var attempts = await audit.TextsAsync("SELECT count(*) || '×' || attempt FROM jobs GROUP BY attempt ORDER BY attempt");
        var waits = await audit.TextsAsync(
            "SELECT string_agg(round(p / 1000)::text || ' ms', ' / ') FROM (SELECT unnest(percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY started_at - created_at)) AS p FROM jobs) q");
        var refused = cluster.Workers.Sum(worker => worker.Log.Split("belongs to somebody else").Length - 1);
        return $"""
            {load.Accepted.Count} accepted and ended in {took.TotalSeconds:0} s ({load.Accepted.Count / took.TotalSeconds:0}/s), attempts {string.Join(", ", attempts)}
            killed or stopped: {string.Join(", ", _kills.Select(kill => $"{kill.Key} {kill.Value}"))}
            submissions repeated: {string.Join(", ", load.Repeats.Select(repeat => $"{repeat.Key} {repeat.Value}"))}; late results refused: {refused}
            accepted to started p50 / p99: {waits[0]}
            """;
    }

    /// <summary>Pictures in and out of two hundred jobs are what their descriptions say, through either gateway.</summary>
    private static async Task CheckArtifactsAsync(Cluster cluster, ClusterLoad load, Random random)
    {
        var pictures = load.Accepted.Where(pair => int.Parse(pair.Key[4..], CultureInfo.InvariantCulture) % 20 == 7).Select(pair => pair.Value).ToArray();
        random.Shuffle(pictures);
        var sent = SHA256.HashData(load.Picture.Span);
        foreach (var (id, index) in pictures.Take(200).Select((id, index) => (id, index)))
        {
            var http = cluster.Gateways[index % 2].Http;
            using var response = await http.GetAsync(new Uri($"/v1/jobs/{id}", UriKind.Relative), Token);
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            var job = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(Token), JsonContext.Default.Job)!;
            SHA256.HashData(await http.GetByteArrayAsync(new Uri(job.Inputs.Single().Url!, UriKind.Relative), Token)).ShouldBe(sent);
            var annotated = await http.GetByteArrayAsync(new Uri(job.Artifacts.Single().Url!, UriKind.Relative), Token);
            Convert.ToHexStringLower(SHA256.HashData(annotated)).ShouldBe(job.Artifacts.Single().Sha256);
        }
    }

    private static void Say(string line) => TestContext.Current.TestOutputHelper!.WriteLine(line);

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var given) ? given : otherwise;
}
