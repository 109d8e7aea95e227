using System.Globalization;
using System.Text;
using System.Text.Json;
using Myelin.EndToEnd.Distributed;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Jobs;

/// <summary>
/// A pause is no crash: a process that stands still for longer than its leases (a paused virtual machine, SIGSTOP, the lid
/// of a laptop) or a database that is away for as long costs a running job no attempt.
/// </summary>
[Collection(nameof(WholeMachine))]
public sealed class PauseTests
{
    private const int Pauses = 3;
    private static readonly TimeSpan s_lease = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_pause = 3 * s_lease;

    private static readonly Dictionary<string, string> s_settings = new()
    {
        ["MYELIN_WORKER_LEASE"] = "2s",
        ["MYELIN_WORKER_CONCURRENCY"] = "1",
        ["MYELIN_JOBS_COORDINATOR_INTERVAL"] = "200ms",
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task WholeProcess_PausedThreeTimes_EndsTheJobInItsFirstAttempt(bool postgres)
    {
        using var folder = new TemporaryFolder();
        var settings = new Dictionary<string, string>(s_settings);
        if (postgres)
        {
            settings["MYELIN_STORAGE_CONNECTION"] = (await PostgresDatabase.CreateAsync(Token)).Connection;
            settings["MYELIN_STORAGE_COORDINATOR_LEASE"] = "2s";
        }

        await using var server = new ServerProcess(folder.Path, settings);
        await server.StartAsync(Token);
        var job = await SubmitAsync(server.Http);
        for (var pause = 0; pause < Pauses; pause++)
        {
            await ProgressAsync(server.Http, job.Id);
            await PauseAsync(server);
        }

        var ended = await EndAsync(server.Http, job.Id);
        (ended.State, ended.Attempt).ShouldBe((JobState.Succeeded, 1), server.Log);
    }

    /// <summary>The coordinator sees the worker fall silent and takes the job back; nobody else is there to take it.</summary>
    [Fact]
    public async Task WorkerApart_PausedUntilItsJobWasTakenBack_EndsItInItsFirstAttempt()
    {
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Settings = s_settings }, Token);
        var (http, worker) = (cluster.Gateways[0].Http, cluster.Workers[0]);
        var job = await SubmitAsync(http);
        for (var pause = 0; pause < Pauses; pause++)
        {
            await ProgressAsync(http, job.Id);
            await worker.SignalAsync("STOP");
            await Wait.UntilAsync(async () => (await GetAsync(http, job.Id)).State == JobState.Queued, state: () => cluster.Logs);
            await worker.SignalAsync("CONT");
            await Wait.UntilAsync(async () => (await GetAsync(http, job.Id)).State != JobState.Queued, state: () => cluster.Logs);
        }

        await ProgressAsync(http, job.Id);
        await PauseAsync(cluster.Coordinators[0]);
        var ended = await EndAsync(http, job.Id);
        (ended.State, ended.Attempt).ShouldBe((JobState.Succeeded, 1), cluster.Logs);
    }

    /// <summary>Another worker has it when the first comes back: the second attempt ends the job, the first counts as no failure.</summary>
    [Fact]
    public async Task WorkerApart_OvertakenWhilePaused_IsNotCountedAsFailed()
    {
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Workers = 2, Settings = s_settings }, Token);
        var http = cluster.Gateways[0].Http;
        var job = await SubmitAsync(http);
        await ProgressAsync(http, job.Id);
        var first = (await cluster.RunnerAsync(job.Id)).ShouldNotBeNull(cluster.Logs);
        await first.SignalAsync("STOP");
        await Wait.UntilAsync(async () => await cluster.RunnerAsync(job.Id) is { } runner && runner != first, state: () => cluster.Logs);
        (await FailuresAsync(cluster.Database, job.Id)).ShouldBe(1);
        await first.SignalAsync("CONT");

        await Wait.UntilAsync(async () => await FailuresAsync(cluster.Database, job.Id) == 0, state: () => cluster.Logs);
        var ended = await EndAsync(http, job.Id);
        (ended.State, ended.Attempt).ShouldBe((JobState.Succeeded, 2), cluster.Logs);
    }

    /// <summary>
    /// Attempts run, end and are claimed while the database is taken away (<c>./dev e2e</c>: 30 s and the leases as
    /// they come, <c>MYELIN_DATABASE_OUTAGE_SECONDS</c>): each job ends in its first attempt.
    /// </summary>
    [Fact]
    public async Task Database_AwayThreeTimesWhileJobsRun_CostsNoAttempt()
    {
        var seconds = Environment.GetEnvironmentVariable("MYELIN_DATABASE_OUTAGE_SECONDS");
        var settings = new Dictionary<string, string>(s_settings) { ["MYELIN_WORKER_LEASE"] = seconds is null ? "2s" : "15s", ["MYELIN_STORAGE_PATIENCE"] = "1s" };
        var away = seconds is null ? s_pause : TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture));
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Workers = 2, OwnPostgres = true, Settings = settings }, Token);
        var http = cluster.Gateways[0].Http;
        var jobs = new List<Job>();
        for (var outage = 0; outage < Pauses; outage++)
        {
            for (var i = 0; i < 4; i++)
            {
                jobs.Add(await SubmitAsync(http, steps: i % 2 == 0 ? 150 : 2));
            }

            await Wait.UntilAsync(async () => await cluster.Database.ReadAsync<long>("SELECT count(*) FROM jobs WHERE state = 1") == 2, state: () => cluster.Logs);
            await cluster.Postgres.KillAsync();
            await Task.Delay(away, Token);
            await cluster.Postgres.RestartAsync(Token);
        }

        foreach (var job in jobs)
        {
            var ended = await EndAsync(http, job.Id);
            (ended.State, ended.Attempt).ShouldBe((JobState.Succeeded, 1), $"{ended.Error?.Detail}\n{cluster.Logs}");
        }

        (await cluster.Database.ReadAsync<long>("SELECT sum(failures) FROM jobs")).ShouldBe(0);
    }

    private static async Task PauseAsync(ServerProcess process)
    {
        await process.SignalAsync("STOP");
        await Task.Delay(s_pause, Token);
        await process.SignalAsync("CONT");
    }

    private static Task<int> FailuresAsync(PostgresDatabase database, string job) => database.ReadAsync<int>("SELECT failures FROM jobs WHERE id = $1", job);

    private static async Task<Job> SubmitAsync(HttpClient http, int steps = 150)
    {
        using var body = new StringContent($$$"""{"model":"emoji-diffusion","parameters":{"prompt":"red apple","steps":{{{steps}}}}}""", Encoding.UTF8, "application/json");
        using var response = await http.PostAsync(new Uri("/v1/jobs", UriKind.Relative), body, Token);
        var text = await response.Content.ReadAsStringAsync(Token);
        response.IsSuccessStatusCode.ShouldBeTrue(text);
        return JsonSerializer.Deserialize(text, JsonContext.Default.Job)!;
    }

    /// <summary>Until it computes, and has come further than before.</summary>
    private static async Task ProgressAsync(HttpClient http, string id)
    {
        var before = (await GetAsync(http, id)).Progress?.Step ?? 0;
        await Wait.UntilAsync(async () => await GetAsync(http, id) is { State: JobState.Running, Progress: { } progress } && progress.Step > before);
    }

    private static async Task<Job> EndAsync(HttpClient http, string id)
    {
        Job? job = null;
        await Wait.UntilAsync(async () => (job = await TryGetAsync(http, id))?.State.IsEnd() == true);
        return job!;
    }

    private static async Task<Job> GetAsync(HttpClient http, string id) => (await TryGetAsync(http, id)).ShouldNotBeNull();

    /// <summary>Null while the database is on its way back.</summary>
    private static async Task<Job?> TryGetAsync(HttpClient http, string id)
    {
        using var response = await http.GetAsync(new Uri($"/v1/jobs/{id}", UriKind.Relative), Token);
        return response.IsSuccessStatusCode ? JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(Token), JsonContext.Default.Job) : null;
    }
}
