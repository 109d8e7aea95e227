using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Jobs;

/// <summary>Two real processes with every role on one PostgreSQL and one folder of blobs.</summary>
public sealed class SharedPostgresTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// The process that coordinates and runs the job is paused past every lease: the other takes over both, and what the
    /// first brings when it wakes is refused.
    /// </summary>
    [Fact]
    public async Task Owner_PausedInMidJob_IsFollowedAndItsLateResultRefused()
    {
        using var folder = new TemporaryFolder();
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var first = new ServerProcess(folder.Path, Environment(database.Connection));
        await using var second = new ServerProcess(folder.Path, Environment(database.Connection));
        await first.StartAsync(Token);
        await Wait.UntilAsync(async () => await database.ReadAsync<long>("SELECT coalesce(max(fence), 0) FROM leases") == 1);
        var job = await SubmitAsync(first.Http, """{"model":"emoji-diffusion","parameters":{"prompt":"red apple","steps":60}}""");
        await Wait.UntilAsync(async () => (await GetAsync(first.Http, job.Id)).State == JobState.Running);
        await SignalAsync(first, "STOP");
        try
        {
            await second.StartAsync(Token);

            var ended = job;
            await Wait.UntilAsync(async () => (ended = await GetAsync(second.Http, job.Id)).State.IsEnd());
            (ended.State, ended.Attempt).ShouldBe((JobState.Succeeded, 2), $"{ended.Error?.Detail}\n{second.Log}");
            (await database.ReadAsync<long>("SELECT fence FROM leases")).ShouldBe(2);
        }
        finally
        {
            await SignalAsync(first, "CONT");
        }

        await Wait.UntilAsync(() => first.Log.Contains("belongs to somebody else", StringComparison.Ordinal));
        var later = await GetAsync(first.Http, job.Id);
        (later.State, later.Attempt).ShouldBe((JobState.Succeeded, 2));
        (await database.ReadAsync<long>("SELECT fence FROM leases")).ShouldBe(2, "whoever was followed does not take it back");
    }

    /// <summary>
    /// Clients post to both processes while these and the database are killed by turns. A client repeats with its
    /// Idempotency-Key, as the documents say; each key is one job, and each job ends.
    /// </summary>
    [Fact]
    public async Task Everything_KilledByTurnsUnderLoad_EveryAcceptedJobEndsOnce()
    {
        var seed = int.TryParse(System.Environment.GetEnvironmentVariable("MYELIN_TEST_SEED"), CultureInfo.InvariantCulture, out var given) ? given : System.Environment.TickCount;
        TestContext.Current.TestOutputHelper!.WriteLine($"MYELIN_TEST_SEED={seed}");
        var random = new Random(seed);
        using var folder = new TemporaryFolder();
        await using var postgres = await PostgresServer.StartAsync(Token);
        var database = await PostgresDatabase.CreateAsync(postgres, Token);
        await using var first = new ServerProcess(folder.Path, Environment(database.Connection));
        await using var second = new ServerProcess(folder.Path, Environment(database.Connection));
        var servers = new[] { first, second };
        await Task.WhenAll(servers.Select(s => s.StartAsync(Token)));
        var picture = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "sign.jpg"), Token);
        var accepted = new ConcurrentDictionary<string, string>();
        using var stop = new CancellationTokenSource();
        var clients = Enumerable.Range(0, 4).Select(c => PostAsync(servers, c, picture, accepted, stop.Token)).ToList();

        for (var round = 0; round < 4; round++)
        {
            var before = accepted.Count;
            await Wait.UntilAsync(() => accepted.Count >= before + 10);
            await Task.Delay(random.Next(0, 300), Token);
            if (round % 2 == 0)
            {
                await postgres.KillAsync();
                await Task.Delay(random.Next(0, 1500), Token);
                await postgres.RestartAsync(Token);
            }
            else
            {
                var victim = servers[random.Next(2)];
                await victim.KillAsync();
                await victim.StartAsync(Token);
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(clients);
        foreach (var id in accepted.Values)
        {
            var job = await GetAsync(first.Http, id);
            await Wait.UntilAsync(async () => (job = await GetAsync(first.Http, id)).State.IsEnd());
            job.State.ShouldBe(JobState.Succeeded, $"{id}: {job.Error?.Detail}\n{first.Log}\n{second.Log}");
        }

        accepted.Values.Distinct().Count().ShouldBe(accepted.Count, "two keys gave one job");
        (await database.ReadAsync<long>("SELECT count(*) - count(DISTINCT idempotency_key) FROM jobs")).ShouldBe(0);
        TestContext.Current.TestOutputHelper!.WriteLine($"{accepted.Count} accepted jobs ended");
    }

    private static Dictionary<string, string> Environment(string connection) => new()
    {
        ["MYELIN_STORAGE_CONNECTION"] = connection,
        ["MYELIN_STORAGE_COORDINATOR_LEASE"] = "1s",
        ["MYELIN_WORKER_LEASE"] = "3s",
        ["MYELIN_JOBS_MAX_ATTEMPTS"] = "100",
        ["MYELIN_JOBS_QUEUE_LIMIT"] = "100000",
    };

    private static async Task PostAsync(
        ServerProcess[] servers, int client, byte[] picture, ConcurrentDictionary<string, string> accepted, CancellationToken stop)
    {
        for (var n = 0; !stop.IsCancellationRequested; n++)
        {
            var key = $"{client}-{n}";
            for (var attempt = 0; !accepted.ContainsKey(key); attempt++)
            {
                if (await TryPostAsync(servers[(client + n + attempt) % 2].Http, key, picture) is { } id)
                {
                    accepted[key] = id;
                }
                else
                {
                    await Task.Delay(100, CancellationToken.None);
                }
            }
        }
    }

    /// <summary>The job's id; null where the same again may work.</summary>
    private static async Task<string?> TryPostAsync(HttpClient http, string key, byte[] picture)
    {
        try
        {
            using var body = new MultipartFormDataContent { { new StringContent("faces"), "model" } };
            using var image = new ByteArrayContent(picture);
            image.Headers.ContentType = new("image/jpeg");
            body.Add(image, "image", "sign.jpg");
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs") { Content = body };
            request.Headers.Add("Idempotency-Key", key);
            using var response = await http.SendAsync(request, CancellationToken.None);
            var text = await response.Content.ReadAsStringAsync();
            if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
            {
                response.Headers.RetryAfter.ShouldNotBeNull(text);
                return null;
            }

            response.IsSuccessStatusCode.ShouldBeTrue(text);
            return JsonSerializer.Deserialize(text, JsonContext.Default.Job)!.Id;
        }
        catch (HttpRequestException)
        {
            return null; // killed
        }
    }

    private static async Task<Job> SubmitAsync(HttpClient http, string json)
    {
        using var body = new StringContent(json, Encoding.UTF8, "application/json");
        using var response = await http.PostAsync(new Uri("/v1/jobs", UriKind.Relative), body, Token);
        var text = await response.Content.ReadAsStringAsync(Token);
        response.IsSuccessStatusCode.ShouldBeTrue(text);
        return JsonSerializer.Deserialize(text, JsonContext.Default.Job)!;
    }

    private static async Task<Job> GetAsync(HttpClient http, string id) =>
        JsonSerializer.Deserialize(await http.GetStringAsync(new Uri($"/v1/jobs/{id}", UriKind.Relative), Token), JsonContext.Default.Job)!;

    private static async Task SignalAsync(ServerProcess server, string signal)
    {
        using var kill = Process.Start("kill", ["-" + signal, server.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync(Token);
    }
}
