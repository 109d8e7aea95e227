using System.Net;
using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

/// <summary>Callers whose line breaks, and those who ask again: work that a key promises, or that others want, goes on.</summary>
public sealed class RepeatTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Submit_WithKeyAndTheLineBreaks_RepeatGetsTheResult()
    {
        var task = new ManualTask();
        await using var server = await RunningServer.StartAsync(services: task.Install);
        using var cut = new CancellationTokenSource();
        var lost = SendAsync(server, "order-1", cut.Token);
        var call = await task.NextAsync();
        var id = await OnlyAsync(server);

        await CutAsync(server, id, cut, lost);
        var repeat = SendAsync(server, "order-1", Token);
        call.Finish();

        var job = await (await repeat).ReadJobAsync();
        (job.Id, job.State).ShouldBe((id, JobState.Succeeded));
    }

    [Fact]
    public async Task Submit_TwoWaitOnOneKeyAndTheFirstLeaves_TheOtherGetsTheResult()
    {
        var task = new ManualTask();
        await using var server = await RunningServer.StartAsync(services: task.Install);
        using var cut = new CancellationTokenSource();
        var first = SendAsync(server, "order-1", cut.Token);
        var call = await task.NextAsync();
        var other = SendAsync(server, "order-1", Token);

        await cut.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(first);
        await server.Http.GetAsync("/v1/jobs");
        call.Finish();

        (await (await other).ReadJobAsync()).State.ShouldBe(JobState.Succeeded);
    }

    [Fact]
    public async Task Submit_CallerLeavesWhileAnotherWatches_TheJobGoesOn()
    {
        var task = new ManualTask();
        await using var server = await RunningServer.StartAsync(services: task.Install);
        using var cut = new CancellationTokenSource();
        var first = SendAsync(server, key: null, cut.Token);
        var call = await task.NextAsync();
        var id = await OnlyAsync(server);
        var follower = server.Get<JobService>().EventsAsync(id, null, Token).GetAsyncEnumerator(Token);
        await follower.MoveNextAsync();

        await cut.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(first);
        await server.Http.GetAsync("/v1/jobs");
        call.Finish();

        while (await follower.MoveNextAsync() && !follower.Current.Job.State.IsEnd())
        {
        }

        follower.Current.Job.State.ShouldBe(JobState.Succeeded);
    }

    [Fact]
    public async Task Submit_LineToOneGatewayBreaks_RepeatAtAnotherGetsTheResult()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var task = new ManualTask();
        MyelinOptions Shared(MyelinOptions options) => options with { Storage = new StorageOptions { Connection = database.Connection } };
        await using var first = await RunningServer.StartAsync(Shared, task.Install);
        await using var other = await RunningServer.StartAsync(Shared, worker: false);
        using var cut = new CancellationTokenSource();
        var lost = SendAsync(first, "order-1", cut.Token);
        var call = await task.NextAsync();
        var id = await OnlyAsync(first);

        await CutAsync(first, id, cut, lost);
        call.Finish();
        await Wait.UntilAsync(async () => (await first.Http.GetJobAsync(id))!.State.IsEnd());

        var job = await (await SendAsync(other, "order-1", Token)).ReadJobAsync();
        (job.Id, job.State).ShouldBe((id, JobState.Succeeded));
    }

    [Fact]
    public async Task Submit_KeyThatLooksLikeAMessagesOrATasks_LiesApart()
    {
        await using var server = await RunningServer.StartAsync(worker: false);
        var message = new JobSubmission { Tenant = "local", Model = "faces", IdempotencyKey = "kafka:42" };
        var known = await server.Get<JobService>().SubmitAsync(message, Token);

        var job = await (await SendAsync(server, "kafka:42", Token, wait: "")).ReadJobAsync();
        var repeat = await (await SendAsync(server, "kafka:42", Token, wait: "")).ReadJobAsync();

        job.Id.ShouldNotBe(known.Job!.Id);
        repeat.Id.ShouldBe(job.Id);
        (await server.Get<JobService>().SubmitAsync(message, Token)).Status.ShouldBe(SubmitStatus.Repeated, "rows of before go on matching");
        var row = (await server.Get<IJobStore>().GetAsync(job.Id, Token))!;
        IdempotencyKey.Message(row).ShouldBeNull();
    }

    [Fact]
    public async Task Submit_TwoKeys_Is400()
    {
        await using var server = await RunningServer.StartAsync(worker: false);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs") { Content = Http.Faces(Pictures.Jpeg()) };
        using var handler = new SocketsHttpHandler { UseProxy = false };
        using var socket = new System.Net.Sockets.TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, server.Address.Port, Token);
        var body = await request.Content.ReadAsStringAsync(Token);
        var head = $"POST /v1/jobs HTTP/1.1\r\nHost: {server.Address.Authority}\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n" +
            "Idempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\r\n";
        await socket.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes(head + body), Token);
        using var reader = new StreamReader(socket.GetStream());

        var answer = await reader.ReadToEndAsync(Token);

        answer.ShouldStartWith("HTTP/1.1 400");
        answer.ShouldContain("Idempotency-Key: is there twice");
    }

    /// <summary>What the server itself has stored wrongly is no fault of whoever asks.</summary>
    [Fact]
    public async Task Get_RowWhoseJsonIsCorrupt_Is500()
    {
        await using var server = await RunningServer.StartAsync(worker: false);
        var job = await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()));
        await server.Get<SqliteJobStore>().Database.WriteAsync(
            session =>
            {
                using var update = session.Prepare("UPDATE jobs SET inputs = CAST('[{' AS BLOB)");
                update.Run();
                return 0;
            },
            Token);

        (await server.Http.GetAsync($"/v1/jobs/{job.Id}")).StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
    }

    private static Task<HttpResponseMessage> SendAsync(RunningServer server, string? key, CancellationToken cancellationToken, string wait = "?wait=60s")
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs" + wait) { Content = Http.Faces(Pictures.Jpeg()) };
        if (key is not null)
        {
            request.Headers.Add("Idempotency-Key", key);
        }

        return server.Http.SendAsync(request, cancellationToken);
    }

    private static async Task<string> OnlyAsync(RunningServer server) =>
        (await server.Get<JobService>().ListAsync(new JobFilter("local"), null, 2, Token)).ShouldHaveSingleItem().Id;

    /// <summary>Returns once the server has seen the end of the line, and has done what it does then.</summary>
    private static async Task CutAsync(RunningServer server, string id, CancellationTokenSource cut, Task lost)
    {
        await cut.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(lost);
        await Wait.UntilAsync(() => !server.Get<JobEvents>().IsWatched(id));
        await server.Http.GetAsync("/v1/jobs");
    }
}
