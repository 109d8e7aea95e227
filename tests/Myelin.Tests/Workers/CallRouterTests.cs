using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using Myelin.Serving.Registry;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

/// <summary>Which worker a gateway sends a synchronous call to, and when another gets it.</summary>
public sealed class CallRouterTests
{
    private static readonly byte[] s_small = Encoding.UTF8.GetBytes("""{"inputs":[]}""");
    private static readonly byte[] s_large = new byte[300_000];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Call_AnsweredByTheWorker_ComesBackWhole()
    {
        await using var worker = await FakeWorker.StartAsync(async context =>
        {
            var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            context.Request.Path.Value.ShouldBe("/v2/models/net/versions/3/infer");
            context.Request.Headers["X-Myelin-Cluster-Key"].ToString().ShouldBe("0123456789abcdef");
            context.Response.StatusCode = 418;
            context.Response.Headers["Inference-Header-Content-Length"] = context.Request.Headers["Inference-Header-Content-Length"];
            context.Response.ContentType = context.Request.ContentType;
            await context.Response.Body.WriteAsync(body.ToArray());
        });
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("a", worker.Address, now)]);
        using var content = new ByteArrayContent(s_large);
        content.Headers.Add("Content-Type", "application/x-tensors");
        content.Headers.Add("Inference-Header-Content-Length", "17");

        using var response = await gateway.Http.PostAsync(new Uri("/v2/models/net/versions/3/infer", UriKind.Relative), content, Token);

        ((int)response.StatusCode).ShouldBe(418);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/x-tensors");
        response.Headers.GetValues("Inference-Header-Content-Length").Single().ShouldBe("17");
        (await response.Content.ReadAsByteArrayAsync(Token)).ShouldBe(s_large);
        (await gateway.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Token)).ShouldContain("""myelin_calls_routed_total{model="net",outcome="Answered"} 1""");
    }

    [Fact]
    public async Task Choice_WarmBeforeCold_ThenTheLeastLoaded()
    {
        await using var cold = await FakeWorker.StartAsync(OkAsync);
        await using var busy = await FakeWorker.StartAsync(OkAsync);
        await using var idle = await FakeWorker.StartAsync(OkAsync);
        await using var gateway = await GatewayAsync(now =>
        [
            FakeWorker.Row("cold", cold.Address, now, "available"),
            FakeWorker.Row("busy", busy.Address, now, running: 3),
            FakeWorker.Row("idle", idle.Address, now, running: 1),
            FakeWorker.Row("broken", "http://127.0.0.1:1", now, "broken"),
            FakeWorker.Row("apart", null, now),
        ]);

        for (var i = 0; i < 8; i++)
        {
            (await PostAsync(gateway, s_small)).ShouldBe(HttpStatusCode.OK);
        }

        (cold.Calls, busy.Calls, idle.Calls).ShouldBe((0, 0, 8));
    }

    [Fact]
    public async Task Choice_EqualWorkersAndCallsThatStay_GoesRound()
    {
        var gate = new TaskCompletionSource();
        async Task StayAsync(HttpContext context)
        {
            await gate.Task;
            await OkAsync(context);
        }

        await using var first = await FakeWorker.StartAsync(StayAsync);
        await using var second = await FakeWorker.StartAsync(StayAsync);
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("a", first.Address, now), FakeWorker.Row("b", second.Address, now)]);

        var calls = new List<Task<HttpStatusCode>>();
        for (var i = 1; i <= 6; i++)
        {
            calls.Add(PostAsync(gateway, s_small));
            await Wait.UntilAsync(() => first.Calls + second.Calls == i);
        }

        (first.Calls, second.Calls).ShouldBe((3, 3));
        gate.SetResult();
        (await Task.WhenAll(calls)).ShouldAllBe(status => status == HttpStatusCode.OK);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Worker_NobodyListens_AnotherGetsTheCall(bool large)
    {
        await using var alive = await FakeWorker.StartAsync(OkAsync);
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("dead", "http://127.0.0.1:1", now), FakeWorker.Row("alive", alive.Address, now, running: 4)]);

        (await PostAsync(gateway, large ? s_large : s_small)).ShouldBe(HttpStatusCode.OK);

        alive.Calls.ShouldBe(1);
        (await gateway.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Token)).ShouldContain("""myelin_calls_tried_again_total{model="net",reason="unreachable"} 1""");
    }

    /// <summary>A refusal comes before the body is read: large ones too go to the next.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Worker_Refuses_AnotherGetsTheCall(bool large)
    {
        await using var full = await FakeWorker.StartAsync(RefuseAsync);
        await using var free = await FakeWorker.StartAsync(OkAsync);
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("full", full.Address, now), FakeWorker.Row("free", free.Address, now, running: 4)]);

        (await PostAsync(gateway, large ? s_large : s_small)).ShouldBe(HttpStatusCode.OK);

        (full.Calls, free.Calls).ShouldBe((1, 1));
    }

    [Fact]
    public async Task Workers_AllRefuse_TheCallerIsToldToTryAgain()
    {
        await using var full = await FakeWorker.StartAsync(RefuseAsync);
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("full", full.Address, now)]);

        (await PostAsync(gateway, s_small)).ShouldBe(HttpStatusCode.TooManyRequests);
    }

    /// <summary>The body was sent, so the network may have run: that is the caller's to repeat, not ours.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Worker_DiesInMidCall_NobodyElseGetsTheCall(bool large)
    {
        await using var dies = await FakeWorker.StartAsync(async context =>
        {
            await context.Request.Body.CopyToAsync(Stream.Null);
            context.Abort();
        });
        await using var other = await FakeWorker.StartAsync(OkAsync);
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("dies", dies.Address, now), FakeWorker.Row("other", other.Address, now, running: 4)]);

        (await PostAsync(gateway, large ? s_large : s_small)).ShouldBe(HttpStatusCode.ServiceUnavailable);

        (dies.Calls, other.Calls).ShouldBe((1, 0));
    }

    [Fact]
    public async Task Worker_DiesInMidAnswer_TheCallerSeesItCutShort()
    {
        var read = new TaskCompletionSource();
        await using var dies = await FakeWorker.StartAsync(async context =>
        {
            context.Response.ContentLength = 100_000;
            await context.Response.Body.WriteAsync(new byte[50_000]);
            await context.Response.Body.FlushAsync();
            await read.Task;
            context.Abort();
        });
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("dies", dies.Address, now)]);

        using var request = new HttpRequestMessage(HttpMethod.Post, "/v2/models/net/infer") { Content = new ByteArrayContent(s_small) };
        using var response = await gateway.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Token);
        await using var body = await response.Content.ReadAsStreamAsync(Token);
        await body.ReadExactlyAsync(new byte[50_000], Token);
        read.SetResult();

        await Should.ThrowAsync<IOException>(() => body.ReadExactlyAsync(new byte[50_000], Token).AsTask());
    }

    [Fact]
    public async Task Worker_DoesNotAnswer_TheCallerHearsInTime()
    {
        await using var slow = await FakeWorker.StartAsync(context => Task.Delay(Timeout.Infinite, context.RequestAborted));
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("slow", slow.Address, now)]);

        (await PostAsync(gateway, s_small)).ShouldBe(HttpStatusCode.GatewayTimeout);
    }

    [Fact]
    public async Task Caller_Leaves_TheWorkerIsToldToStop()
    {
        var stopped = new TaskCompletionSource();
        await using var slow = await FakeWorker.StartAsync(async context =>
        {
            context.RequestAborted.Register(stopped.SetResult);
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        });
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("slow", slow.Address, now)], timeout: TimeSpan.FromMinutes(5));
        using var leave = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var call = PostAsync(gateway, s_small, leave.Token);
        await Wait.UntilAsync(() => slow.Calls == 1);

        await leave.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => call);
        await stopped.Task.WaitAsync(TimeSpan.FromMinutes(2), Token);
    }

    [Theory]
    [InlineData("/v2/models/net/infer", HttpStatusCode.ServiceUnavailable)]
    [InlineData("/v2/models/nobody/infer", HttpStatusCode.NotFound)]
    [InlineData("/v2/models/faces/infer", HttpStatusCode.BadRequest)]
    [InlineData("/v2/models/torn/infer", HttpStatusCode.ServiceUnavailable)]
    public async Task Call_ThatNobodyCanTake_IsRefusedInTheProtocolsForm(string path, HttpStatusCode expected)
    {
        await using var gateway = await GatewayAsync(now => [FakeWorker.Row("gone", "http://127.0.0.1:1", now)]);
        using var content = new ByteArrayContent(s_small);

        using var response = await gateway.Http.PostAsync(new Uri(path, UriKind.Relative), content, Token);

        response.StatusCode.ShouldBe(expected);
        (await response.Content.ReadAsStringAsync(Token)).ShouldStartWith("{\"error\":");
    }

    private static Task OkAsync(HttpContext context) => context.Request.Body.CopyToAsync(Stream.Null);

    private static Task RefuseAsync(HttpContext context)
    {
        context.Response.Headers["X-Myelin-Refused"] = "1";
        context.Response.StatusCode = 503;
        return Task.CompletedTask;
    }

    private static Task<RunningServer> GatewayAsync(Func<DateTimeOffset, WorkerRow[]> rows, TimeSpan? timeout = null) =>
        FakeWorker.GatewayAsync(rows, o => o with { Calls = o.Calls with { Timeout = timeout ?? o.Calls.Timeout } });

    private static async Task<HttpStatusCode> PostAsync(RunningServer gateway, byte[] body, CancellationToken? token = null)
    {
        using var content = new ByteArrayContent(body);
        using var response = await gateway.Http.PostAsync(new Uri("/v2/models/net/infer", UriKind.Relative), content, token ?? Token);
        return response.StatusCode;
    }
}
