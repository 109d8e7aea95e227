using System.Text;
using System.Text.Json;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Imaging;
using Myelin.Testing;
using Myelin.Tests.Bus.Kafka;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Streams;

[Collection("open topics")]
public sealed class FrameTopicsTests(OpenTopicsServer fixture)
{
    private static readonly string s_portrait = Path.Combine(Shared.Root, "samples", "portrait.jpg");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Kcat_PutsAJpeg_ReadsTheResultAndTheAnnotatedPicture()
    {
        await OpenTopicsServer.RunAsync(
            "kcat", "-b", fixture.Brokers, "-P", "-t", "myelin.frames.porch", "-k", "camera", "-H", "model=faces", "-H", "frame-id=7", "-H", "captured-at=1900000000000", s_portrait);

        var line = await OpenTopicsServer.RunAsync("kcat", "-b", fixture.Brokers, "-C", "-t", "myelin.results.porch", "-o", "beginning", "-c", "1", "-J", "-q");
        var message = JsonDocument.Parse(line).RootElement;
        message.GetProperty("key").GetString().ShouldBe("camera");
        var headers = message.GetProperty("headers").EnumerateArray().Select(h => h.GetString()!).Chunk(2).ToDictionary(h => h[0], h => h[1]);
        headers["content-type"].ShouldBe("application/json");
        headers["frame-id"].ShouldBe("7");
        headers["captured-at"].ShouldBe("1900000000000");
        headers["model"].ShouldBe("faces");
        headers["pictures"].ShouldBe("annotated.jpg");
        JsonDocument.Parse(message.GetProperty("payload").GetString()!).RootElement.GetProperty("detections").GetArrayLength().ShouldBe(3);

        var jpeg = await OpenTopicsServer.RunAsync("kcat", "-b", fixture.Brokers, "-C", "-t", "myelin.annotated.porch", "-o", "beginning", "-c", "1", "-q", "-D", "");
        PictureHeader.Read(jpeg, new ImagingLimits()).Format.ShouldBe(PictureFormat.Jpeg);
    }

    [Fact]
    public async Task PythonExample_SendsPictures_PrintsWhatIsInEachAndKeepsTheAnnotated()
    {
        using var folder = new TemporaryFolder();
        var text = Encoding.UTF8.GetString(await OpenTopicsServer.RunInAsync(
            folder.Path, "/usr/bin/python3", Path.Combine(Shared.Root, "examples", "kafka", "frames.py"), fixture.Brokers, "door", "faces", s_portrait, Path.Combine(Shared.Root, "LICENSE"), s_portrait));

        var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        lines.Length.ShouldBe(3);
        lines[0].ShouldContain("application/json {'width'");
        lines[1].ShouldContain("application/problem+json");
        lines[1].ShouldContain("/problems/unsupported-media-type");
        lines[2].ShouldContain("'detections': [{");
        Directory.GetFiles(folder.Path).ShouldHaveSingleItem();
        PictureHeader.Read(await File.ReadAllBytesAsync(folder.Combine("portrait.jpg.annotated.jpg"), Token), new ImagingLimits()).Format.ShouldBe(PictureFormat.Jpeg);
    }

    [Fact]
    public async Task BadFrames_AreAnsweredWithTheirProblem_AndTheNextOneIsServed()
    {
        using var stop = new CancellationTokenSource();
        var results = fixture.Bus.SubscribeAsync("myelin.results.gate", "test-gate", stop.Token).GetAsyncEnumerator(stop.Token);
        var jpeg = await File.ReadAllBytesAsync(s_portrait, Token);
        await SendAsync("text", "no picture"u8.ToArray(), ("model", "faces"));
        await SendAsync("empty", [], ("model", "faces"));
        await SendAsync("torn", jpeg[..2000], ("model", "faces"));
        await SendAsync("large", new byte[OpenTopicsServer.MaxBytes + 1], ("model", "faces"));
        await SendAsync("unknown", jpeg, ("model", "facez"));
        await SendAsync("broken", jpeg, ("model", "torn"));
        await SendAsync("none", jpeg);
        await SendAsync("parameter", jpeg, ("model", "faces"), ("parameters", """{"threshold": 7}"""));
        await SendAsync("json", jpeg, ("model", "faces"), ("parameters", "{"));
        await SendAsync("bomb", Pictures.PngHeader(60_000, 60_000), ("model", "faces"));
        await SendAsync("unpacks", Pictures.PngBomb(20_000, 20_000), ("model", "faces"));
        await SendAsync("header", jpeg, ("model", new string('m', 300)));
        await SendAsync("captured", jpeg, ("model", "faces"), ("captured-at", new string('1', 100_000)));
        await SendAsync("list", jpeg, ("model", "faces"), ("parameters", "[]"));
        await SendAsync("deep", jpeg, ("model", "faces"), ("parameters", new string('[', 10_000)));
        await SendAsync("type", jpeg, ("model", "faces"), ("content-type", "image/png"));
        await SendAsync("good", jpeg, ("model", "faces"), ("parameters", """{"threshold": 0.5, "annotate": false}"""));

        var answers = new Dictionary<string, string>();
        while (!answers.ContainsKey("good"))
        {
            await results.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Token);
            var answer = results.Current;
            answer.Done();
            var body = JsonDocument.Parse(answer.Payload).RootElement;
            answers.Add(answer.Headers!["frame-id"], body.TryGetProperty("type", out var type) ? type.GetString()! : "result");
        }

        await stop.CancelAsync();
        answers.ShouldBe(
            new Dictionary<string, string>
            {
                ["text"] = "/problems/unsupported-media-type",
                ["empty"] = "/problems/invalid-input",
                ["torn"] = "/problems/invalid-input",
                ["large"] = "/problems/too-large",
                ["unknown"] = "/problems/unknown-model",
                ["broken"] = "/problems/model-unavailable",
                ["none"] = "/problems/invalid-input",
                ["parameter"] = "/problems/invalid-input",
                ["json"] = "/problems/invalid-input",
                ["bomb"] = "/problems/too-large",
                ["unpacks"] = "/problems/too-large",
                ["header"] = "/problems/invalid-input",
                ["captured"] = "/problems/invalid-input",
                ["list"] = "/problems/invalid-input",
                ["deep"] = "/problems/invalid-input",
                ["type"] = "/problems/unsupported-media-type",
                ["good"] = "result",
            },
            ignoreOrder: true);
        await Wait.UntilAsync(() => Metrics().Contains("""myelin_streams_frames_total{stream="gate",outcome="refused"} 15""", StringComparison.Ordinal));
        Metrics().ShouldContain("""myelin_streams_frames_total{stream="gate",outcome="failed"} 1""");
        Metrics().ShouldContain("""myelin_streams_frames_total{stream="gate",outcome="processed"} 1""");
    }

    /// <summary>More frames than the model keeps up with: the newest win, what is dropped is counted, nothing grows.</summary>
    [Fact]
    public async Task SlowModel_MoreFramesThanTheBacklog_OldestAreDroppedAndCounted()
    {
        var broker = await KafkaBroker.SharedAsync();
        await using var server = await RunningServer.StartAsync(o => o with
        {
            Bus = new BusOptions { Kafka = KafkaHost.Options(broker) },
            OpenTopics = new OpenTopicsOptions { Streams = "fast", Model = "faces", Backlog = 2, Concurrency = 1 },
        });
        var bus = server.Get<IBus>();
        using var stop = new CancellationTokenSource();
        var results = bus.SubscribeAsync(Topics.Results("fast"), "test", stop.Token).GetAsyncEnumerator(stop.Token);
        var jpeg = await File.ReadAllBytesAsync(s_portrait, Token);
        for (var i = 0; i < 100; i++)
        {
            await bus.PublishAsync(Topics.Frames("fast"), new BusMessage("", "camera", jpeg, new Dictionary<string, string> { ["frame-id"] = $"{i}" }), Token);
        }

        var seen = new List<int>();
        while (seen.LastOrDefault() != 99)
        {
            await results.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Token);
            seen.Add(int.Parse(results.Current.Headers!["frame-id"], System.Globalization.CultureInfo.InvariantCulture));
        }

        await stop.CancelAsync();
        seen.ShouldBeInOrder();
        // The first results may have been there before this subscription had its place, and the last is counted after it is sent.
        await Wait.UntilAsync(() => Frames("dropped") + Frames("processed") == 100);
        Frames("dropped").ShouldBeGreaterThan(0);
        Frames("processed").ShouldBeGreaterThanOrEqualTo(seen.Count);

        double Frames(string outcome) => OpenTopicsServer.Measure(
            server.Get<Myelin.Hosting.Telemetry.MetricsPage>().Write(), $$"""myelin_streams_frames_total{stream="fast",outcome="{{outcome}}"}""");
    }

    private string Metrics() => fixture.Server.Get<Myelin.Hosting.Telemetry.MetricsPage>().Write();

    private ValueTask SendAsync(string id, byte[] picture, params (string Name, string Value)[] headers) =>
        fixture.Bus.PublishAsync(
            Topics.Frames("gate"), new BusMessage("", "one key, one lane", picture, headers.Append(("frame-id", id)).ToDictionary(h => h.Item1, h => h.Item2)), Token);
}

[CollectionDefinition("open topics")]
public sealed class OpenTopicsCollection : ICollectionFixture<OpenTopicsServer>;
