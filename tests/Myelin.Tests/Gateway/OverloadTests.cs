using System.Collections.Concurrent;
using System.Net;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Streams;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class OverloadTests
{
    private const int Limit = 100;
    private const int Submits = 2000;

    /// <summary>
    /// Two thousand callers at once on a full queue: each is told when to come back, none leaves anything behind, and what was
    /// accepted is done, once.
    /// </summary>
    [Fact]
    public async Task Submit_TwoThousandAtOnceOnAFullQueue_AreRefusedAndTheAcceptedFinish()
    {
        var task = new ManualTask();
        await using var server = await RunningServer.StartAsync(
            o => o with { Jobs = o.Jobs with { QueueLimit = Limit }, Worker = o.Worker with { Concurrency = 1 } }, task.Install);
        var picture = Pictures.Jpeg();
        var accepted = new ConcurrentBag<string>();
        while (true)
        {
            var response = await server.Http.PostAsync("/v1/jobs", Http.Faces(picture));
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
            {
                break;
            }

            accepted.Add((await response.ReadJobAsync()).Id);
        }

        accepted.Count.ShouldBeInRange(Limit, Limit + 2); // the running one is not queued
        await Parallel.ForEachAsync(Enumerable.Range(0, Submits), new ParallelOptions { MaxDegreeOfParallelism = 256 }, async (_, token) =>
        {
            using var body = Http.Faces(picture);
            using var response = await server.Http.PostAsync("/v1/jobs", body, token);
            response.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
            response.Headers.RetryAfter!.Delta!.Value.ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(1));
            (await response.ReadProblemAsync()).Type.ShouldBe(ProblemTypes.QueueFull);
        });

        (await CountAsync(server, "jobs")).ShouldBe(accepted.Count);
        (await CountAsync(server, "inputs")).ShouldBeLessThanOrEqualTo(accepted.Count);
        server.Get<IJobStore>().QueueDepth("faces").ShouldBe(accepted.Count - 1);
        OpenTopicsServer.Measure(await server.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative)), "myelin_jobs_rejected_total").ShouldBe(Submits + 1);
        for (var i = 0; i < accepted.Count; i++)
        {
            (await task.NextAsync()).Finish();
        }

        foreach (var id in accepted)
        {
            (await (await server.Http.GetAsync($"/v1/jobs/{id}?wait=60s")).ReadJobAsync()).State.ShouldBe(JobState.Succeeded);
        }
    }

    private static async Task<long> CountAsync(RunningServer server, string table) => await server.Get<SqliteDatabase>().ReadAsync(
        session =>
        {
            using var rows = session.Prepare($"SELECT count(*) FROM {table}");
            rows.Step();
            return rows.Int64(0);
        },
        TestContext.Current.CancellationToken);

    [Fact]
    public async Task Submit_BodiesBeyondTheBudget_WaitTheirTurnAndPass()
    {
        await using var server = await RunningServer.StartAsync(
            o => o with { Input = o.Input with { MaxBytes = 1 << 20, BufferBytes = 1 << 20 } }, InstantTask.Install);
        var picture = Pictures.Png(500, 400);
        var padded = new byte[700 << 10];
        picture.CopyTo(padded, 0);

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => server.Http.PostAsync("/v1/jobs", Http.Form(padded, "image/png"))));

        answers.ShouldAllBe(a => a.StatusCode == HttpStatusCode.Accepted);
    }
}
