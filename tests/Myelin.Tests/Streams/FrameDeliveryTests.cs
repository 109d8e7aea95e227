using System.Text.Json;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Jobs.OpenTopics;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Bus.Kafka;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Streams;

/// <summary>Answers on a real broker that takes messages of 100,000 bytes.</summary>
public sealed class FrameDeliveryTests : IAsyncLifetime
{
    private const int Largest = 100_000;

    private readonly CancellationTokenSource _stop = new();
    private KafkaHost? _host;
    private int _done;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private KafkaHost Host => _host!;

    public async ValueTask InitializeAsync() => _host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()) with { MaxMessageBytes = Largest });

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await (_host?.DisposeAsync() ?? ValueTask.CompletedTask);
        _stop.Dispose();
    }

    [Fact]
    public async Task Picture_LargerThanTheBusTakes_IsLeftOutAndNamed()
    {
        var results = Read(Topics.Results("s"));

        await DeliverAsync(Answer(10, Picture("small.jpg", 1000), Picture("annotated.jpg", Largest * 2)));

        var result = await NextAsync(results);
        result.Headers!["pictures"].ShouldBe("small.jpg");
        result.Headers["omitted"].ShouldBe("annotated.jpg");
        result.Headers["content-type"].ShouldBe("application/json");
        Page("myelin_streams_omitted_total{topic=\"myelin.annotated.s\"}").ShouldBe(1);
        Page("myelin_streams_frames_total{stream=\"s\",outcome=\"processed\"}").ShouldBe(1);
        _done.ShouldBe(1);
    }

    [Fact]
    public async Task Result_LargerThanTheBusTakes_IsAProblemThatSaysSo()
    {
        var results = Read(Topics.Results("s"));

        await DeliverAsync(Answer(Largest * 2));

        var result = await NextAsync(results);
        result.Headers!["content-type"].ShouldBe("application/problem+json");
        result.Headers["frame-id"].ShouldBe("7");
        var problem = JsonDocument.Parse(result.Payload).RootElement;
        problem.GetProperty("type").GetString().ShouldBe("/problems/too-large");
        problem.GetProperty("detail").GetString()!.ShouldContain("bus.kafka.maxMessageBytes");
        Page("myelin_streams_frames_total{stream=\"s\",outcome=\"failed\"}").ShouldBe(1);
        _done.ShouldBe(1);
    }

    /// <summary>A camera whose clock is a minute ahead: its frames are answered, its latency is not made up.</summary>
    [Fact]
    public async Task CapturedAt_AheadOfTheClock_IsCountedAsSkew()
    {
        await DeliverAsync(Answer(10), TimeSpan.FromMinutes(1));
        await DeliverAsync(Answer(10), TimeSpan.FromMinutes(-1));

        Page("myelin_streams_skewed_total{stream=\"s\"}").ShouldBe(1);
        Page("myelin_streams_latency_seconds_count{stream=\"s\"}").ShouldBe(1);
        Page("myelin_streams_latency_seconds_sum{stream=\"s\"}").ShouldBeInRange(60, 120);
    }

    [Fact]
    public async Task Job_LargerThanTheBusTakes_IsToldWithoutItsResult()
    {
        var answers = Read(Topics.JobsOut);
        var job = new Job
        {
            Id = "j",
            Model = "m",
            State = JobState.Succeeded,
            CreatedAt = DateTimeOffset.UnixEpoch,
            Result = JsonSerializer.SerializeToElement(new string('x', Largest * 2)),
        };

        (await Host.Bus.TellAsync(job, "k", new Dictionary<string, string> { ["idempotency-key"] = "k" }, Token)).ShouldBe(Delivery.Held);

        var answer = await NextAsync(answers);
        answer.Headers!["omitted"].ShouldBe("result,parameters");
        answer.Headers["idempotency-key"].ShouldBe("k");
        JsonDocument.Parse(answer.Payload).RootElement.GetProperty("state").GetString().ShouldBe("succeeded");
    }

    private static FrameAnswer Answer(int resultBytes, params BusMessage[] pictures) => new(
        "s",
        FrameOutcome.Processed,
        new BusMessage(Topics.Results("s"), "k", new byte[resultBytes], new Dictionary<string, string> { ["content-type"] = "application/json", ["frame-id"] = "7" }),
        [.. pictures]);

    private static BusMessage Picture(string name, int bytes)
    {
        var noise = new byte[bytes];
        new Random(1).NextBytes(noise);
        return new BusMessage(Topics.Annotated("s"), "k", noise, new Dictionary<string, string> { ["name"] = name });
    }

    private Task DeliverAsync(FrameAnswer answer, TimeSpan? ahead = null)
    {
        var captured = (TimeProvider.System.GetUtcNow() + (ahead ?? TimeSpan.Zero)).ToString("O");
        var frame = new BusMessage(Topics.Frames("s"), "k", default, new Dictionary<string, string> { ["captured-at"] = captured }) { Settle = () => _done++ };
        var delivery = new FrameDelivery(Host.Bus, Host.Get<StreamInstruments>(), new MyelinOptions(), TimeProvider.System);
        return delivery.RunAsync(frame, answer, Token).WaitAsync(TimeSpan.FromSeconds(60), Token);
    }

    private double Page(string series) => OpenTopicsServer.Measure(Host.Page(), series);

    private IAsyncEnumerator<BusMessage> Read(string topic) => Host.Bus.SubscribeAsync(topic, "test", _stop.Token).GetAsyncEnumerator(_stop.Token);

    private static async Task<BusMessage> NextAsync(IAsyncEnumerator<BusMessage> reader)
    {
        (await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Token)).ShouldBeTrue();
        return reader.Current;
    }
}
