using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Myelin.Inference;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class JobEndpointTests : IAsyncLifetime
{
    private readonly ManualTask _task = new();
    private RunningServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await RunningServer.StartAsync(services: _task.Install);

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Submit_Json_Answers202WithLocationAndTheJob()
    {
        var response = await _server.Http.PostAsync("/v1/jobs", Http.Faces(Pictures.Jpeg(), "\"parameters\":{\"threshold\":0.5},\"priority\":\"high\",\"key\":\"a\""));

        response.StatusCode.ShouldBe(HttpStatusCode.Accepted);
        var job = await response.ReadJobAsync();
        response.Headers.Location!.OriginalString.ShouldBe($"/v1/jobs/{job.Id}");
        job.ShouldSatisfyAllConditions(
            () => job.Model.ShouldBe("faces"),
            () => job.Priority.ShouldBe(JobPriority.High),
            () => job.Key.ShouldBe("a"),
            () => job.Parameters!.Value.GetProperty("threshold").GetDouble().ShouldBe(0.5),
            () => job.Inputs.ShouldHaveSingleItem().ContentType.ShouldBe("image/jpeg"));
        (await _server.Http.GetAsync(response.Headers.Location)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Submit_EveryFormOfTheSamePicture_StoresTheSameBytes()
    {
        var picture = Pictures.Jpeg();
        var base64 = Convert.ToBase64String(picture);
        HttpContent[] bodies =
        [
            Http.Form(picture),
            Http.Faces(picture),
            Http.Json($$$"""{"model":"faces","input":{"image":"data:image/jpeg;base64,{{{base64}}}"}}"""),
            Http.Json($$$"""{"model":"faces","input":{"image":"{{{base64.Replace("/", "\\/", StringComparison.Ordinal)}}}"}}"""),
            Http.Json($$$"""{"model":"faces","input":{"image":"{{{base64.Replace('+', '-').Replace('/', '_').TrimEnd('=')}}}"}}"""),
        ];
        foreach (var body in bodies)
        {
            var job = await _server.Http.SubmitAsync(body);
            var call = await _task.NextAsync();
            call.Input.Files["image"].Bytes.ToArray().ShouldBe(picture);
            call.Finish();
            (await _server.Http.GetByteArrayAsync(job.Inputs[0].Url)).ShouldBe(picture);
        }
    }

    [Fact]
    public async Task Submit_FormFields_AreTheSameAsJsonOnes()
    {
        var job = await _server.Http.SubmitAsync(Http.Form(
            Pictures.Png(), "image/png", fields: [("parameters", "{\"threshold\":0.25}"), ("priority", "low"), ("key", "k"), ("deadline", "2100-01-01T00:00:00Z")]));

        job.Priority.ShouldBe(JobPriority.Low);
        job.Key.ShouldBe("k");
        job.Deadline.ShouldBe(new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero));
        job.Parameters!.Value.GetProperty("threshold").GetDouble().ShouldBe(0.25);
    }

    [Fact]
    public async Task Submit_WithWait_Answers200OnceItEnds()
    {
        var waiting = _server.Http.PostAsync("/v1/jobs?wait=30s", Http.Faces(Pictures.Jpeg()));
        (await _task.NextAsync()).Finish();

        var response = await waiting;
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var job = await response.ReadJobAsync();
        job.State.ShouldBe(JobState.Succeeded);
        job.Result!.Value.GetProperty("findings").GetInt32().ShouldBe(1);
        (await _server.Http.GetStringAsync($"/v1/jobs/{job.Id}/result")).ShouldBe("{\"findings\":1}");
    }

    [Fact]
    public async Task Submit_WaitRunsOut_Answers202()
    {
        var response = await _server.Http.PostAsync("/v1/jobs?wait=50ms", Http.Faces(Pictures.Jpeg()));

        response.StatusCode.ShouldBe(HttpStatusCode.Accepted);
    }

    [Theory]
    [InlineData("", JobState.Cancelled)]
    [InlineData("&keep=true", JobState.Succeeded)]
    public async Task Submit_CallerLeavesWhileItWaits_CancelsUnlessKept(string keep, JobState expected)
    {
        using var leaves = new CancellationTokenSource();
        var waiting = _server.Http.PostAsync("/v1/jobs?wait=60s" + keep, Http.Faces(Pictures.Jpeg()), leaves.Token);
        var call = await _task.NextAsync();
        var id = (await _server.Http.GetFromJsonAsync("/v1/jobs", JsonContext.Default.PageJob))!.Data[0].Id;
        await leaves.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(waiting);
        if (keep.Length > 0)
        {
            call.Finish();
        }

        // Looked at without a wait of its own: a job that somebody waits for is kept.
        Job? job = null;
        await Wait.UntilAsync(async () => (job = await _server.Http.GetJobAsync(id))!.State.IsEnd());
        job!.State.ShouldBe(expected);
    }

    [Fact]
    public async Task Submit_SameIdempotencyKey_IsOneJobOr422()
    {
        var first = await SendAsync(Http.Faces(Pictures.Jpeg()));
        var second = await SendAsync(Http.Faces(Pictures.Jpeg()));
        var other = await SendAsync(Http.Faces(Pictures.Jpeg(32, 32)));

        var job = await first.ReadJobAsync();
        (await second.ReadJobAsync()).Id.ShouldBe(job.Id);
        second.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        var problem = await other.ReadProblemAsync();
        problem.Type.ShouldBe(ProblemTypes.IdempotencyMismatch);

        async Task<HttpResponseMessage> SendAsync(HttpContent body)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs") { Content = body };
            request.Headers.Add("Idempotency-Key", "order-1");
            return await _server.Http.SendAsync(request);
        }
    }

    [Fact]
    public async Task Cancel_EachState_HasItsAnswer()
    {
        var job = await _server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()));
        await _task.NextAsync();

        var cancelled = await (await _server.Http.DeleteAsync($"/v1/jobs/{job.Id}")).ReadJobAsync();
        var again = await (await _server.Http.DeleteAsync($"/v1/jobs/{job.Id}")).ReadProblemAsync();

        cancelled.State.ShouldBe(JobState.Cancelled);
        again.Type.ShouldBe(ProblemTypes.AlreadyEnded);
        again.Status.ShouldBe(409);
    }

    [Fact]
    public async Task Result_OfEachState_HasItsAnswer()
    {
        var job = await _server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()));
        var call = await _task.NextAsync();

        (await (await _server.Http.GetAsync($"/v1/jobs/{job.Id}/result")).ReadProblemAsync()).Type.ShouldBe(ProblemTypes.NotReady);
        call.Result.SetException(new InputException("input.image", "is torn"));
        var ended = await (await _server.Http.GetAsync($"/v1/jobs/{job.Id}?wait=30s")).ReadJobAsync();

        ended.Error!.Errors!.Keys.ShouldBe(["input.image"]);
        var problem = await (await _server.Http.GetAsync($"/v1/jobs/{job.Id}/result")).ReadProblemAsync();
        problem.Type.ShouldBe(ProblemTypes.NoResult);
        problem.Detail.ShouldNotBeNull().ShouldContain("torn");
    }

    [Fact]
    public async Task Artifact_Ranges_AreServedWithTagAndSandbox()
    {
        var bytes = Enumerable.Range(0, 100_000).Select(i => (byte)(i * 31)).ToArray();
        var job = await RunAsync(new TaskArtifact("annotated.jpg", "image/jpeg", bytes), new TaskArtifact("page.html", "text/html", bytes));
        var url = job.Artifacts.Single(a => a.Name == "annotated.jpg").Url!;

        using var request = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { Range = new RangeHeaderValue(1000, 1999) } };
        var part = await _server.Http.SendAsync(request);

        part.StatusCode.ShouldBe(HttpStatusCode.PartialContent);
        (await part.Content.ReadAsByteArrayAsync()).ShouldBe(bytes[1000..2000]);
        part.Headers.ETag!.Tag.Trim('"').ShouldBe(job.Artifacts[0].Sha256);
        part.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
        part.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("sandbox");
        part.Content.Headers.ContentDisposition!.DispositionType.ShouldBe("inline");

        using var known = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { IfNoneMatch = { part.Headers.ETag } } };
        (await _server.Http.SendAsync(known)).StatusCode.ShouldBe(HttpStatusCode.NotModified);
        using var beyond = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { Range = new RangeHeaderValue(200_000, null) } };
        (await (await _server.Http.SendAsync(beyond)).ReadProblemAsync()).Status.ShouldBe(416);
        using var head = new HttpRequestMessage(HttpMethod.Head, url);
        (await _server.Http.SendAsync(head)).Content.Headers.ContentLength.ShouldBe(bytes.Length);
        var page = await _server.Http.GetAsync(job.Artifacts.Single(a => a.Name == "page.html").Url);
        page.Content.Headers.ContentDisposition!.DispositionType.ShouldBe("attachment");
        (await (await _server.Http.GetAsync($"/v1/jobs/{job.Id}/artifacts/other.jpg")).ReadProblemAsync()).Status.ShouldBe(404);
    }

    [Fact]
    public async Task Artifact_PastRetention_IsGone()
    {
        await using var server = await RunningServer.StartAsync(
            o => o with { Jobs = o.Jobs with { Retention = TimeSpan.FromMilliseconds(50), CoordinatorInterval = TimeSpan.FromMilliseconds(50) } }, InstantTask.Install);
        var job = await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()), "?wait=30s");

        HttpResponseMessage? answer = null;
        await Wait.UntilAsync(async () => !(answer = await server.Http.GetAsync($"/v1/jobs/{job.Id}/result")).IsSuccessStatusCode);
        (await answer!.ReadProblemAsync()).Type.ShouldBe(ProblemTypes.Gone);
        (await server.Http.GetAsync(job.Inputs[0].Url)).StatusCode.ShouldBe(HttpStatusCode.Gone);
        (await server.Http.GetAsync($"/v1/jobs/{job.Id}")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task List_Pages_ShowEveryJobOnceNewestFirst()
    {
        var ids = new List<string>();
        for (var i = 0; i < 7; i++)
        {
            ids.Add((await _server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()))).Id);
        }

        var listed = new List<string>();
        string? cursor = null;
        do
        {
            var page = (await _server.Http.GetFromJsonAsync($"/v1/jobs?limit=3{(cursor is null ? "" : "&cursor=" + cursor)}", JsonContext.Default.PageJob))!;
            page.Object.ShouldBe("list");
            listed.AddRange(page.Data.Select(j => j.Id));
            cursor = page.NextCursor;
        }
        while (cursor is not null);

        ids.Reverse();
        listed.ShouldBe(ids);
        (await _server.Http.GetFromJsonAsync("/v1/jobs?state=succeeded", JsonContext.Default.PageJob))!.Data.ShouldBeEmpty();
        (await _server.Http.GetFromJsonAsync("/v1/jobs?model=other", JsonContext.Default.PageJob))!.Data.ShouldBeEmpty();
    }

    [Fact]
    public async Task Models_List_ShowsContractsAndBrokenOnes()
    {
        var models = (await _server.Http.GetFromJsonAsync("/v1/models", JsonContext.Default.PageModel))!.Data;

        var faces = models.Single(m => m.Id == "faces");
        faces.Inputs.ShouldHaveSingleItem().Name.ShouldBe("image");
        faces.Parameters.ShouldContain(p => p.Name == "threshold");
        faces.OwnedBy.ShouldNotBeEmpty();
        var torn = models.Single(m => m.Id == "torn");
        torn.State.ShouldBe("broken");
        torn.Errors.ShouldNotBeEmpty();
    }

    private async Task<Job> RunAsync(params TaskArtifact[] artifacts)
    {
        var waiting = _server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()), "?wait=30s");
        (await _task.NextAsync()).Finish(artifacts);
        return await waiting;
    }
}
