using System.Net;
using System.Net.ServerSentEvents;
using System.Text.Json;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class JobEventTests : IAsyncLifetime
{
    private readonly ManualTask _task = new();
    private RunningServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await RunningServer.StartAsync(services: _task.Install);

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Events_OfARun_TellStateProgressAndEndWithGrowingIds()
    {
        var job = await _server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()));
        var call = await _task.NextAsync();
        await using var events = Watch(job.Id, null);

        var first = await NextAsync(events);
        call.Progress.Report(new TaskProgress(1, 4));
        var progress = await NextAsync(events);
        call.Finish();
        var rest = new List<JobEvent>();
        while (await events.MoveNextAsync())
        {
            rest.Add(events.Current);
        }

        first.Kind.ShouldBe("state");
        first.Job.State.ShouldBe(JobState.Running);
        progress.Kind.ShouldBe("progress");
        progress.Job.Progress!.ShouldBe(new JobProgress(1, 4, 0.25));
        rest[^1].Kind.ShouldBe("end");
        rest[^1].Job.State.ShouldBe(JobState.Succeeded);
        List<JobEvent> all = [first, progress, .. rest];
        all.Select(e => e.Id).ShouldBeInOrder();
        all.Select(e => e.Id).ShouldBeUnique();
    }

    [Fact]
    public async Task Events_Resumed_TellOnlyWhatIsNew()
    {
        var job = await _server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()));
        var call = await _task.NextAsync();
        JobEvent seen;
        await using (var before = Watch(job.Id, null))
        {
            seen = await NextAsync(before);
        }

        call.Finish();
        await using var after = Watch(job.Id, seen.Id);
        var end = await NextAsync(after);

        end.Kind.ShouldBe("end");
        end.Id.ShouldBeGreaterThan(seen.Id);
        (await after.MoveNextAsync()).ShouldBeFalse();
        using var request = Request(job.Id, end.Id);
        (await _server.Http.SendAsync(request)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task Events_OfAnUnknownJob_Are404()
    {
        var response = await _server.Http.GetAsync("/v1/jobs/01jdq7m3cqv3a7k2zn8w6r5x4y/events");

        (await response.ReadProblemAsync()).Status.ShouldBe(404);
    }

    private static HttpRequestMessage Request(string id, long? last)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/jobs/{id}/events");
        if (last is not null)
        {
            request.Headers.Add("Last-Event-ID", last.ToString());
        }

        return request;
    }

    private static async Task<JobEvent> NextAsync(IAsyncEnumerator<JobEvent> events)
    {
        (await events.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30))).ShouldBeTrue();
        return events.Current;
    }

    private IAsyncEnumerator<JobEvent> Watch(string id, long? last)
    {
        return Read().GetAsyncEnumerator();

        async IAsyncEnumerable<JobEvent> Read()
        {
            using var request = Request(id, last);
            using var response = await _server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
            await foreach (var item in SseParser.Create(await response.Content.ReadAsStreamAsync(), (_, data) => JsonSerializer.Deserialize(data, JsonContext.Default.JobEvent)!).EnumerateAsync())
            {
                item.EventType.ShouldBe(item.Data.Kind);
                item.EventId.ShouldBe(item.Data.Id.ToString());
                yield return item.Data;
            }
        }
    }
}
