using System.Text;
using System.Text.Json;
using Myelin.Hosting.Bus;
using Myelin.Jobs;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Streams;

[Collection("open topics")]
public sealed class JobsTopicTests(OpenTopicsServer fixture)
{
    private static readonly string s_portrait = Path.Combine(Shared.Root, "samples", "portrait.jpg");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task PythonExample_SubmitsAJob_FollowsItToItsResult()
    {
        var text = Encoding.UTF8.GetString(await OpenTopicsServer.RunAsync(
            "/usr/bin/python3", Path.Combine(Shared.Root, "examples", "kafka", "job.py"), fixture.Brokers, "faces", s_portrait));

        text.ShouldContain("event state queued");
        text.ShouldContain("event state running");
        JsonDocument.Parse(text.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]).RootElement.GetProperty("detections").GetArrayLength().ShouldBe(3);
    }

    [Fact]
    public async Task Kcat_PutsAJob_FollowsItsEventsToTheEnd()
    {
        var request = Guid.NewGuid().ToString("n");
        using var folder = new TemporaryFolder();
        await File.WriteAllBytesAsync(folder.Combine("job.json"), await BodyAsync(), Token);
        await OpenTopicsServer.RunAsync("kcat", "-b", fixture.Brokers, "-P", "-t", "myelin.jobs.in", "-k", request, folder.Combine("job.json"));

        // kcat has no "until": it reads what is there, again until the end is among it.
        var events = new List<JsonElement>();
        while (events.LastOrDefault() is not { ValueKind: JsonValueKind.Object } last || last.GetProperty("kind").GetString() != "end")
        {
            var text = Encoding.UTF8.GetString(await OpenTopicsServer.RunAsync("kcat", "-b", fixture.Brokers, "-C", "-t", "myelin.events", "-o", "beginning", "-e", "-q", "-f", "%h %s\n"));
            events = [.. text.Split('\n').Where(l => l.Contains(request, StringComparison.Ordinal)).Select(l => JsonDocument.Parse(l[l.IndexOf('{', StringComparison.Ordinal)..]).RootElement)];
        }

        events = [.. events.OrderBy(e => e.GetProperty("eventId").GetInt64())]; // a worker may be quicker with its first one than the gateway
        events[0].GetProperty("state").GetString().ShouldBe("queued");
        events[^1].GetProperty("state").GetString().ShouldBe("succeeded");
        events.Select(e => e.GetProperty("state").GetString()).Distinct().ShouldBe(["queued", "running", "succeeded"]);
    }

    [Fact]
    public async Task Message_DeliveredThreeTimes_IsOneJob()
    {
        using var stop = new CancellationTokenSource();
        var answers = fixture.Bus.SubscribeAsync(Topics.JobsOut, Guid.NewGuid().ToString("n"), stop.Token).GetAsyncEnumerator(stop.Token);
        var key = Guid.NewGuid().ToString("n");
        for (var i = 0; i < 3; i++)
        {
            await SendAsync(key, await BodyAsync());
        }

        // An answer to each of the three and one for the end, in whatever order.
        var ids = new HashSet<string>();
        var succeeded = 0;
        for (var i = 0; i < 4; i++)
        {
            var job = await NextAsync(answers, key);
            ids.Add(job.GetProperty("id").GetString()!);
            succeeded += job.GetProperty("state").GetString() == "succeeded" && job.GetProperty("result").GetProperty("detections").GetArrayLength() == 3 ? 1 : 0;
        }

        succeeded.ShouldBeGreaterThan(0);
        ids.Count.ShouldBe(1);
        var jobs = fixture.Server.Get<JobService>();
        (await jobs.GetAsync(ids.Single(), Token))!.Tenant.ShouldBe("kafka");
        await stop.CancelAsync();
    }

    [Fact]
    public async Task BadMessages_AreAnsweredWithTheirProblem_AndTheNextOneIsTaken()
    {
        using var stop = new CancellationTokenSource();
        var answers = fixture.Bus.SubscribeAsync(Topics.JobsOut, Guid.NewGuid().ToString("n"), stop.Token).GetAsyncEnumerator(stop.Token);
        var refused = Refused();
        var cases = new Dictionary<string, (byte[] Body, string Problem)>
        {
            ["empty"] = ([], "/problems/malformed-request"),
            ["text"] = ("hello"u8.ToArray(), "/problems/malformed-request"),
            ["fields"] = ("""{"modell": "faces"}"""u8.ToArray(), "/problems/invalid-input"),
            ["unknown"] = ("""{"model": "facez"}"""u8.ToArray(), "/problems/unknown-model"),
            ["system"] = ("""{"model": "@catalogue"}"""u8.ToArray(), "/problems/unknown-model"),
            ["large"] = (new byte[OpenTopicsServer.MaxBytes + 1], "/problems/too-large"),
            ["utf-8"] = ([(byte)'{', 0xff, 0xfe], "/problems/malformed-request"),
            ["nul"] = ("{\"model\": \"faces\", \"key\": \"a\\u0000b\"}"u8.ToArray(), "/problems/invalid-input"),
            ["deep"] = (Encoding.ASCII.GetBytes($"{{\"model\": \"faces\", \"parameters\": {new string('[', 5000)}"), "/problems/malformed-request"),
            ["picture"] = ("{\"model\": \"faces\", \"input\": {\"image\": \"aGVsbG8=\"}}"u8.ToArray(), "/problems/unsupported-media-type"),
            ["bomb"] = (Encoding.ASCII.GetBytes($"{{\"model\": \"faces\", \"input\": {{\"image\": \"{Convert.ToBase64String(Pictures.PngHeader(60_000, 60_000))}\"}}}}"), "/problems/too-large"),
            ["broken"] = (await BodyAsync(model: "torn"), "/problems/model-unavailable"),
            ["callback"] = ("""{"model": "faces", "callback": {"url": "bus:jobs.out"}}"""u8.ToArray(), "/problems/invalid-input"),
        };
        var run = Guid.NewGuid().ToString("n")[..8];
        foreach (var (name, (body, _)) in cases)
        {
            await SendAsync("one key, one lane", body, $"{run}-{name}");
        }

        await SendAsync("one key, one lane", await BodyAsync(), $"{run}-good");

        var seen = new Dictionary<string, string>();
        while (seen.Count <= cases.Count)
        {
            var answer = await NextAsync(answers, run);
            seen.TryAdd(answer.GetProperty("request").GetString()![(run.Length + 1)..], answer.TryGetProperty("type", out var type) ? type.GetString()! : answer.GetProperty("state").GetString()!);
        }

        seen.Remove("good").ShouldBeTrue();
        seen.ShouldBe(cases.ToDictionary(c => c.Key, c => c.Value.Problem), ignoreOrder: true);
        await SendAsync("other", await BodyAsync(""", "priority": "high" """), $"{run}-good");
        (await NextAsync(answers, $"{run}-good", holding: "/problems/")).GetProperty("type").GetString().ShouldBe("/problems/idempotency-mismatch");
        await SendAsync("other", await BodyAsync(), $"{run}-{new string('k', 300)}");
        (await NextAsync(answers, "myelin.jobs.in/")).GetProperty("type").GetString().ShouldBe("/problems/invalid-input", "a header that long is not copied; the message's place is");
        await Wait.UntilAsync(() => Refused() == refused + cases.Count + 2);
        await stop.CancelAsync();
    }

    private double Refused() => OpenTopicsServer.Measure(fixture.Server.Get<Myelin.Hosting.Telemetry.MetricsPage>().Write(), "myelin_streams_jobs_total{outcome=\"refused\"}");

    /// <summary>The next answer whose idempotency key begins so, with that key as the property <c>request</c>.</summary>
    private static async Task<JsonElement> NextAsync(IAsyncEnumerator<BusMessage> answers, string request, string holding = "")
    {
        while (true)
        {
            await answers.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Token);
            answers.Current.Done();
            var key = answers.Current.Headers!["idempotency-key"];
            var body = Encoding.UTF8.GetString(answers.Current.Payload.Span);
            if (key.StartsWith(request, StringComparison.Ordinal) && body.Contains(holding, StringComparison.Ordinal))
            {
                return JsonDocument.Parse($"{{\"request\": \"{key}\", {body[1..]}").RootElement;
            }
        }
    }

    private static async Task<byte[]> BodyAsync(string more = "", string model = "faces")
    {
        var image = Convert.ToBase64String(await File.ReadAllBytesAsync(s_portrait, Token));
        return Encoding.UTF8.GetBytes($"{{\"model\": \"{model}\", \"input\": {{\"image\": \"{image}\"}}{more}}}");
    }

    private ValueTask SendAsync(string? key, byte[] body, string? idempotencyKey = null) => fixture.Bus.PublishAsync(
        Topics.JobsIn, new BusMessage("", key, body, idempotencyKey is null ? null : new Dictionary<string, string> { ["idempotency-key"] = idempotencyKey }), Token);
}
