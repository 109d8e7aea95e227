using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Myelin.Client;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Client;

public sealed class JobsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task List_SeveralPages_FollowsTheCursorsAndKeepsTheFilter()
    {
        var queries = new List<string>();
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs", (HttpRequest request, string? cursor) =>
        {
            queries.Add(request.QueryString.Value!);
            return cursor is null
                ? Results.Json(new Page<Job>([ScriptedServer.Job(id: "3"), ScriptedServer.Job(id: "2")], "a b"), JsonContext.Default.PageJob)
                : Results.Json(new Page<Job>([ScriptedServer.Job(id: "1")]), JsonContext.Default.PageJob);
        }));
        var jobs = await server.Client().ListAsync(new() { Model = "faces", State = JobState.Failed }, Token).Select(j => j.Id).ToListAsync(Token);

        jobs.ShouldBe(["3", "2", "1"]);
        queries.ShouldBe(["?model=faces&state=failed", "?model=faces&state=failed&cursor=a%20b"]);
    }

    [Fact]
    public async Task Cancel_AlreadyEnded_GivesTheJobAsItIs()
    {
        await using var server = await ScriptedServer.StartAsync(app =>
        {
            app.MapDelete("/v1/jobs/{id}", () => ScriptedServer.Problem(409, ProblemTypes.AlreadyEnded, "Ended."));
            app.MapGet("/v1/jobs/{id}", () => Results.Json(ScriptedServer.Job(JobState.Succeeded), JsonContext.Default.Job));
        });
        (await server.Client().CancelAsync("job-1", Token)).State.ShouldBe(JobState.Succeeded);
    }

    [Fact]
    public async Task Wait_SeveralPolls_ReturnsTheEnd()
    {
        var waits = new List<string>();
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}", (string? wait) =>
        {
            waits.Add(wait ?? "");
            return Results.Json(ScriptedServer.Job(waits.Count < 3 ? JobState.Running : JobState.Expired), JsonContext.Default.Job);
        }));
        var client = server.Client(o => o with { WaitSlice = TimeSpan.FromMinutes(10) });
        (await client.WaitAsync("job-1", Token)).State.ShouldBe(JobState.Expired);
        waits.ShouldBe(["60s", "60s", "60s"]);
    }

    [Fact]
    public async Task BaseAddress_WithPath_IsKept()
    {
        await using var server = await ScriptedServer.StartAsync(app =>
            app.MapGet("/behind/proxy/v1/models", () => Results.Json(new Page<Model>([new() { Id = "faces", Name = "faces", State = "ready" }]), JsonContext.Default.PageModel)));
        using var http = new HttpClient { BaseAddress = new(server.Address, "behind/proxy") };
        (await new MyelinClient(http).ModelsAsync(Token)).Single().Name.ShouldBe("faces");
    }
}
