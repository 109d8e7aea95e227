using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Myelin.Client;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>Gateways, workers and a coordinator as processes of their own: what one does, the others see.</summary>
public sealed class RolesTests(ClusterFixture fixture) : IClassFixture<ClusterFixture>, IAsyncLifetime
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private Cluster Cluster { get; set; } = null!;

    public async ValueTask InitializeAsync() => Cluster = await fixture.StartAsync();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task Job_SubmittedToOneGateway_RunsOnAWorkerAndIsReadFromTheOther()
    {
        var submitted = await Cluster.Gateways[0].Client().SubmitAsync(ClusterCalls.Faces(), Token);

        var ended = await Cluster.Gateways[1].Client().WaitAsync(submitted.Id, Token);

        ended.State.ShouldBe(JobState.Succeeded, ended.Error?.Detail);
        ended.Result!.Value.GetProperty("detections").GetArrayLength().ShouldBeGreaterThan(0);
        var picture = await Cluster.Gateways[1].Http.GetByteArrayAsync(new Uri(ended.Artifacts.Single().Url!, UriKind.Relative), Token);
        picture.Length.ShouldBe((int)ended.Artifacts.Single().Size);
    }

    [Fact]
    public async Task Events_OfAJobInAnotherProcess_ComeThroughEitherGatewayWithPreviews()
    {
        var submitted = await Cluster.Gateways[0].Client().SubmitAsync(ClusterCalls.Picture(steps: 60), Token);
        var watched = await Task.WhenAll(Cluster.Gateways.Select(gateway => WatchAsync(gateway, submitted.Id)));

        foreach (var (events, preview) in watched)
        {
            events.Select(e => e.Id).ShouldBeInOrder(SortDirection.Ascending);
            events.Select(e => e.Id).ShouldBeUnique();
            events.Count(e => e.Kind == "progress").ShouldBeGreaterThan(5);
            events[^1].Kind.ShouldBe("end");
            events[^1].Job.State.ShouldBe(JobState.Succeeded, events[^1].Job.Error?.Detail);
            preview.ShouldNotBeNull("no preview came");
            preview.AsSpan(0, 2).ToArray().ShouldBe([0xff, 0xd8], "a preview is a JPEG");
        }
    }

    [Fact]
    public async Task Cancel_ThroughOneGateway_EndsTheJobOnAWorkerWithinASecond()
    {
        var client = Cluster.Gateways[0].Client();
        var submitted = await Cluster.Gateways[1].Client().SubmitAsync(ClusterCalls.Picture(steps: 150), Token);
        var other = await Cluster.Gateways[1].Client().SubmitAsync(ClusterCalls.Picture(steps: 40), Token);
        (await client.StepAsync(submitted.Id, 3, Token)).State.ShouldBe(JobState.Running);

        var clock = Stopwatch.StartNew();
        var cancelled = await client.CancelAsync(submitted.Id, Token);

        // A second is the promise; the rest is for a machine that does other things too.
        cancelled.State.ShouldBe(JobState.Cancelled, $"after {clock.Elapsed}");
        clock.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(3));
        (await client.WaitAsync(other.Id, Token)).State.ShouldBe(JobState.Succeeded, "only the one job is touched");
    }

    [Fact]
    public async Task Worker_KilledInMidJob_AnotherFinishesIt()
    {
        var client = Cluster.Gateways[0].Client();
        var submitted = await client.SubmitAsync(ClusterCalls.Picture(steps: 150), Token);
        (await client.StepAsync(submitted.Id, 3, Token)).State.ShouldBe(JobState.Running);
        var runner = await Cluster.RunnerAsync(submitted.Id);

        await runner.ShouldNotBeNull().KillAsync();
        var ended = await client.WaitAsync(submitted.Id, Token);

        ended.State.ShouldBe(JobState.Succeeded, ended.Error?.Detail);
        ended.Attempt.ShouldBe(2);
        await runner.StartAsync(Token);
    }

    [Fact]
    public async Task Worker_ThatJoinsLater_TakesWork()
    {
        var client = Cluster.Gateways[0].Client();
        var submitted = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.SubmitAsync(ClusterCalls.Picture(steps: 150), Token)));

        // Both workers are taken, at one job each, and there is more than they can finish meanwhile.
        var late = await Cluster.AddWorkerAsync(Token);
        var taken = "";
        await Wait.UntilAsync(async () =>
        {
            foreach (var job in submitted)
            {
                taken = await Cluster.RunnerAsync(job.Id) == late ? job.Id : taken;
            }

            return taken.Length > 0;
        });

        (await client.WaitAsync(taken, Token)).State.ShouldBe(JobState.Succeeded);
        await Task.WhenAll(submitted.Select(job => client.CancelAsync(job.Id, Token)));
        (await late.TerminateAsync(TimeSpan.FromSeconds(60))).ShouldBe(0);
    }

    [Fact]
    public async Task Worker_PublicApi_IsNotThere()
    {
        foreach (var process in (ServerProcess[])[Cluster.Workers[0], Cluster.Coordinators[0]])
        {
            (await StatusAsync(process, "/health/live")).ShouldBe(HttpStatusCode.OK);
            (await StatusAsync(process, "/health/ready")).ShouldBe(HttpStatusCode.OK);
            (await process.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Token)).ShouldContain("myelin_");
            (await StatusAsync(process, "/v1/jobs")).ShouldBe(HttpStatusCode.NotFound);
            (await StatusAsync(process, "/v1/models")).ShouldBe(HttpStatusCode.NotFound);
            (await StatusAsync(process, "/")).ShouldBe(HttpStatusCode.NotFound);
        }
    }

    /// <summary>Of three workers one has the model: the gateways learn it from its registration, the job finds it, and waits while it is away.</summary>
    [Fact]
    public async Task Model_OfOneWorkerOnly_IsKnownToGatewaysAndRunThere()
    {
        using var models = new ModelFolders();
        models.AddIris();
        var own = await Cluster.AddWorkerAsync(Token, new Dictionary<string, string> { ["MYELIN_MODELS"] = models.Root });
        var client = Cluster.Gateways[0].Client();
        (await UntilAsync(client, m => m is { Name: "iris", State: "ready" })).Workers.ShouldBe(1);
        (await client.ModelAsync("faces", Token)).Workers.ShouldBe(3);
        var worker = (await client.WorkersAsync(Token)).Single(w => w.Host.EndsWith($"/{own.Id}", StringComparison.Ordinal));
        (worker.State, worker.Capacity).ShouldBe(("live", 1));
        worker.Models.ShouldContain(new WorkerModel("iris", "ready"));

        var ended = await Task.WhenAll((await IrisAsync(client, 6)).Select(job => client.WaitAsync(job.Id, Token)));
        ended.ShouldAllBe(job => job.State == JobState.Succeeded);
        ended.ShouldAllBe(job => job.Attempt == 1);

        (await own.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0);
        await UntilAsync(client, m => m is { Name: "iris", Workers: 0 });
        var waiting = (await IrisAsync(client, 1)).Single();
        (await client.GetAsync(waiting.Id, Token)).State.ShouldBe(JobState.Queued);
        await own.StartAsync(Token);
        (await client.WaitAsync(waiting.Id, Token)).State.ShouldBe(JobState.Succeeded);
        await UntilAsync(client, m => m is { Name: "iris", Workers: 1 });
        await own.KillAsync();
        await UntilAsync(client, m => m is { Name: "iris", Workers: 0 });
        (await client.WorkersAsync(Token)).Single(w => w.Id == worker.Id).State.ShouldBe("silent");
    }

    private static async Task<Model> UntilAsync(MyelinClient client, Func<Model, bool> holds)
    {
        IReadOnlyList<Model> models = [];
        await Wait.UntilAsync(async () => (models = await client.ModelsAsync(Token)).Any(holds), state: () => string.Join(", ", models));
        return models.First(holds);
    }

    private static async Task<Job[]> IrisAsync(MyelinClient client, int count)
    {
        var tensors = JsonSerializer.SerializeToElement(new object[] { new { name = "input", shape = new[] { 1, 4 }, datatype = "FP32", data = new[] { 5.1, 3.5, 1.4, 0.2 } } });
        return await Task.WhenAll(Enumerable.Range(0, count).Select(_ => client.SubmitAsync(
            new JobRequest { Model = "iris", Input = new Dictionary<string, JsonElement> { ["inputs"] = tensors } }, Token)));
    }

    private static async Task<HttpStatusCode> StatusAsync(ServerProcess process, string path)
    {
        using var response = await process.Http.GetAsync(new Uri(path, UriKind.Relative), Token);
        return response.StatusCode;
    }

    private static async Task<(List<JobEvent> Events, byte[]? Preview)> WatchAsync(ServerProcess gateway, string id)
    {
        var events = new List<JobEvent>();
        byte[]? preview = null;
        await foreach (var update in gateway.Client().EventsAsync(id, Token))
        {
            events.Add(update);
            if (update is { Kind: "progress", Job.Progress.Preview: { } address } && preview is null)
            {
                preview = await gateway.Http.GetByteArrayAsync(new Uri(address, UriKind.Relative), Token);
            }
        }

        return (events, preview);
    }
}
