using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Myelin.Client;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Client;

public sealed class SubmitTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Submit_WithFile_SendsFieldsBytesAndReportsProgress()
    {
        Dictionary<string, string>? fields = null;
        byte[]? received = null;
        await using var server = await ScriptedServer.StartAsync(app => app.MapPost("/v1/jobs", async (HttpRequest request) =>
        {
            var form = await request.ReadFormAsync();
            fields = form.ToDictionary(f => f.Key, f => f.Value.ToString());
            using var copy = new MemoryStream();
            await form.Files["image"]!.CopyToAsync(copy);
            received = copy.ToArray();
            form.Files["image"]!.FileName.ShouldBe("photo.jpg");
            return Results.Json(ScriptedServer.Job(), JsonContext.Default.Job, statusCode: 202);
        }));
        var picture = Picture(300_000);
        var heard = new Heard();
        var job = await server.Client().SubmitAsync(
            new JobSubmission("faces")
            {
                Files = [new("image", new MemoryStream(picture), "image/jpeg", "photo.jpg")],
                Parameters = JsonSerializer.Deserialize("""{"threshold":0.8}""", JsonContext.Default.JsonElement),
                Priority = JobPriority.High,
                Key = "camera 7",
            },
            heard,
            null,
            Token);

        job.Id.ShouldBe("job-1");
        received.ShouldBe(picture);
        fields!["model"].ShouldBe("faces");
        fields["parameters"].ShouldBe("""{"threshold":0.8}""");
        fields["priority"].ShouldBe("high");
        fields["key"].ShouldBe("camera 7");
        heard.Values.Count.ShouldBeGreaterThan(1);
        heard.Values[^1].ShouldBe(new TransferProgress(picture.Length, picture.Length));
    }

    [Fact]
    public async Task Submit_ServerBusy_ComesBackWithTheSameKeyAndBytes()
    {
        var keys = new ConcurrentQueue<string>();
        var lengths = new ConcurrentQueue<long>();
        await using var server = await ScriptedServer.StartAsync(app => app.MapPost("/v1/jobs", async (HttpRequest request, HttpResponse response) =>
        {
            keys.Enqueue(request.Headers["Idempotency-Key"].ToString());
            lengths.Enqueue((await request.ReadFormAsync()).Files[0].Length);
            if (keys.Count < 3)
            {
                response.Headers.RetryAfter = "0";
                return ScriptedServer.Problem(429, ProblemTypes.QueueFull, "Full.");
            }

            return Results.Json(ScriptedServer.Job(), JsonContext.Default.Job, statusCode: 202);
        }));
        await server.Client().SubmitAsync(new JobSubmission("faces") { Files = [new("image", new MemoryStream(Picture(70_000)))] }, Token);

        keys.Count.ShouldBe(3);
        keys.Distinct().Single().ShouldNotBeEmpty();
        lengths.ShouldAllBe(l => l == 70_000);
    }

    [Fact]
    public async Task Submit_ConnectionDropped_RepeatsUnderTheSameKey()
    {
        var keys = new ConcurrentQueue<string>();
        await using var server = await ScriptedServer.StartAsync(app => app.MapPost("/v1/jobs", (HttpContext context) =>
        {
            keys.Enqueue(context.Request.Headers["Idempotency-Key"].ToString());
            if (keys.Count == 1)
            {
                context.Abort();
            }

            return Results.Json(ScriptedServer.Job(), JsonContext.Default.Job, statusCode: 202);
        }));
        (await server.Client().SubmitAsync(new JobRequest { Model = "faces" }, Token)).Id.ShouldBe("job-1");
        keys.Count.ShouldBe(2);
        keys.Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task Submit_StreamThatCannotSeek_IsNotSentTwice()
    {
        var calls = 0;
        await using var server = await ScriptedServer.StartAsync(app => app.MapPost("/v1/jobs", async (HttpRequest request) =>
        {
            Interlocked.Increment(ref calls);
            await request.ReadFormAsync();
            return ScriptedServer.Problem(503, ProblemTypes.ShuttingDown, "Going down.");
        }));
        var failure = await Should.ThrowAsync<MyelinException>(() => server.Client().SubmitAsync(
            new JobSubmission("faces") { Files = [new("image", new Pipe(Picture(1000)))] }, Token));
        failure.Status.ShouldBe(HttpStatusCode.ServiceUnavailable);
        calls.ShouldBe(1);
    }

    [Fact]
    public async Task Submit_RetryAfterBeyondPatience_IsThrownAtOnceWithTheTime()
    {
        var calls = 0;
        await using var server = await ScriptedServer.StartAsync(app => app.MapPost("/v1/jobs", (HttpResponse response) =>
        {
            calls++;
            response.Headers.RetryAfter = "120";
            return ScriptedServer.Problem(429, ProblemTypes.QueueFull, "Full for two minutes.");
        }));
        var failure = await Should.ThrowAsync<MyelinException>(() => server.Client().SubmitAsync(new JobRequest { Model = "faces" }, Token));
        failure.RetryAfter.ShouldBe(TimeSpan.FromMinutes(2));
        failure.Problem.Type.ShouldBe(ProblemTypes.QueueFull);
        calls.ShouldBe(1);
    }

    [Fact]
    public async Task Call_WrongField_SaysWhichAndHow()
    {
        await using var server = await ScriptedServer.StartAsync(app => app.MapPost("/v1/jobs", () => Results.Json(
            new Problem
            {
                Type = ProblemTypes.InvalidInput,
                Title = "Invalid input",
                Status = 400,
                Detail = "One field is wrong.",
                Errors = new Dictionary<string, string> { ["parameters.threshold"] = "is 3; give 0 to 1" },
            },
            JsonContext.Default.Problem,
            Problem.ContentType,
            400)));
        var failure = await Should.ThrowAsync<MyelinException>(() => server.Client().SubmitAsync(new JobRequest { Model = "faces" }, Token));
        failure.Message.ShouldBe("One field is wrong. (parameters.threshold: is 3; give 0 to 1)");
    }

    [Fact]
    public async Task Call_AnswerOfAnotherProgram_IsAProblemWithItsStatus()
    {
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}", () => Results.Text("<h1>nginx</h1>", "text/html", statusCode: 404)));
        var failure = await Should.ThrowAsync<MyelinException>(() => server.Client().GetAsync("x", Token));
        failure.Status.ShouldBe(HttpStatusCode.NotFound);
        failure.Message.ShouldContain("Is it a Myelin server?");
    }

    [Fact]
    public async Task Call_NobodyListens_IsUnreachable()
    {
        using var http = new HttpClient { BaseAddress = new("http://127.0.0.1:1/") };
        var client = new MyelinClient(http, new() { RetryRefused = false });
        (await Should.ThrowAsync<MyelinUnreachableException>(() => client.ModelsAsync(Token))).Message.ShouldContain("127.0.0.1:1");
    }

    [Fact]
    public async Task ApiKey_ArtifactOnAnotherHost_StaysHome()
    {
        var seen = new ConcurrentDictionary<string, string>();
        var picture = Picture(100);
        await using var store = await ScriptedServer.StartAsync(app => app.MapGet("/blob", (HttpRequest request) =>
        {
            seen["store"] = request.Headers.Authorization.ToString();
            return Results.Bytes(picture);
        }));
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}", (HttpRequest request) =>
        {
            seen["server"] = request.Headers.Authorization.ToString();
            return Results.Json(ScriptedServer.Job(), JsonContext.Default.Job);
        }));
        var client = server.Client(o => o with { ApiKey = "secret" });
        await client.GetAsync("job-1", Token);
        using var into = new MemoryStream();
        var artifact = new JobArtifact("a.jpg", "image/jpeg", 100, DownloadTests.Hash(picture), new Uri(store.Address, "blob").ToString());
        await client.DownloadAsync(artifact, into, null, Token);

        seen["server"].ShouldBe("Bearer secret");
        seen["store"].ShouldBeEmpty();
    }

    internal static byte[] Picture(int length)
    {
        var bytes = new byte[length];
        new Random(7).NextBytes(bytes);
        return bytes;
    }

    private sealed class Pipe(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }

    private sealed class Heard : IProgress<TransferProgress>
    {
        public List<TransferProgress> Values { get; } = [];

        public void Report(TransferProgress value) => Values.Add(value);
    }
}
