using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Myelin.Client;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Client;

public sealed class EventsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Events_ConnectionDrops_GoesOnAfterTheLastEventSeen()
    {
        var asked = new ConcurrentQueue<string>();
        var secondSeen = new TaskCompletionSource();
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}/events", async (HttpContext context) =>
        {
            asked.Enqueue(context.Request.Headers["Last-Event-ID"].ToString());
            context.Response.ContentType = "text/event-stream";
            if (asked.Count == 1)
            {
                await context.Response.WriteAsync(": hello\n\n" + ScriptedServer.Event(1, "state", ScriptedServer.Job()) + ScriptedServer.Event(2, "state", ScriptedServer.Job(JobState.Running)));
                await context.Response.WriteAsync("id: 3\nevent: progress\ndata: {\"id\":3,\"ki");
                await context.Response.Body.FlushAsync();
                await secondSeen.Task;
                context.Abort();
                return;
            }

            // A server may repeat what was seen; the caller must not hear it twice.
            await context.Response.WriteAsync(
                ScriptedServer.Event(2, "state", ScriptedServer.Job(JobState.Running))
                + ScriptedServer.Event(3, "progress", ScriptedServer.Job(JobState.Running) with { Progress = new(1, 2, 0.5) })
                + ScriptedServer.Event(4, "end", ScriptedServer.Job(JobState.Succeeded)));
        }));
        var events = new List<JobEvent>();
        await foreach (var change in server.Client().EventsAsync("job-1", Token))
        {
            events.Add(change);
            if (change.Id == 2)
            {
                secondSeen.SetResult();
            }
        }

        events.Select(e => e.Id).ShouldBe([1, 2, 3, 4]);
        events[2].Job.Progress!.Fraction.ShouldBe(0.5);
        asked.ShouldBe(["", "2"]);
    }

    [Fact]
    public async Task Events_SilentConnection_CountsAsDropped()
    {
        var calls = 0;
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}/events", async (HttpContext context) =>
        {
            context.Response.ContentType = "text/event-stream";
            if (Interlocked.Increment(ref calls) == 1)
            {
                await context.Response.WriteAsync(ScriptedServer.Event(1, "state", ScriptedServer.Job()));
                await context.Response.Body.FlushAsync();
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
                return;
            }

            await context.Response.WriteAsync(ScriptedServer.Event(2, "end", ScriptedServer.Job(JobState.Cancelled)));
        }));
        var client = server.Client(o => o with { EventSilence = TimeSpan.FromMilliseconds(200) });
        (await client.EventsAsync("job-1", Token).ToListAsync(Token)).Select(e => e.Id).ShouldBe([1, 2]);
        calls.ShouldBe(2);
    }

    [Fact]
    public async Task Events_StreamKeepsClosing_GivesUpAfterTheRetries()
    {
        var calls = 0;
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}/events", (HttpContext context) =>
        {
            Interlocked.Increment(ref calls);
            context.Response.ContentType = "text/event-stream";
            return context.Response.WriteAsync(": nothing\n\n");
        }));
        var client = server.Client(o => o with { MaxRetries = 3 });
        await Should.ThrowAsync<MyelinUnreachableException>(async () => await client.EventsAsync("job-1", Token).ToListAsync(Token));
        calls.ShouldBe(4);
    }

    [Fact]
    public async Task Events_UnknownJob_IsTheServersProblem()
    {
        await using var server = await ScriptedServer.StartAsync(app =>
            app.MapGet("/v1/jobs/{id}/events", () => ScriptedServer.Problem(404, ProblemTypes.NotFound, "No such job.")));
        var failure = await Should.ThrowAsync<MyelinException>(async () => await server.Client().EventsAsync("x", Token).ToListAsync(Token));
        failure.Status.ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Events_CallerLeaves_IsCancelledNotRetried()
    {
        var calls = 0;
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}/events", async (HttpContext context) =>
        {
            Interlocked.Increment(ref calls);
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync(ScriptedServer.Event(1, "state", ScriptedServer.Job()));
            await context.Response.Body.FlushAsync();
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        }));
        using var leave = CancellationTokenSource.CreateLinkedTokenSource(Token);
        await Should.ThrowAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in server.Client().EventsAsync("job-1", leave.Token))
            {
                await leave.CancelAsync();
            }
        });
        calls.ShouldBe(1);
    }
}
