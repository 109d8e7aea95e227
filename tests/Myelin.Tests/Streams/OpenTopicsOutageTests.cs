using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Streams;

/// <summary>A server of every role with a broker of its own, which goes away under load and comes back.</summary>
public sealed class OpenTopicsOutageTests
{
    private static readonly byte[] s_picture = File.ReadAllBytes(Path.Combine(Shared.Root, "samples", "portrait.jpg"));

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task BrokerStopped_WhileJobsAreAccepted_EveryJobEndsOnceAndIsTold()
    {
        await using var broker = await KafkaBroker.StartOwnAsync();
        await using var server = await RunningServer.StartAsync(o => o with
        {
            // What is published in the dark is dropped at once, so that what makes up for it is seen to work.
            Bus = new BusOptions { Kafka = new KafkaOptions { Bootstrap = broker.Bootstrap, BufferTime = TimeSpan.FromSeconds(1), Instance = "outage" } },
            OpenTopics = new OpenTopicsOptions { Jobs = true, Streams = "cam", Model = "faces", Backlog = 0 },
            Jobs = o.Jobs with { AnnounceAfter = TimeSpan.FromSeconds(2), QueueLimit = 10_000 },
        });
        var bus = server.Get<IBus>();
        using var stop = new CancellationTokenSource();
        var accepted = new ConcurrentDictionary<string, bool>();
        var ended = new ConcurrentDictionary<string, string>();
        var frames = new ConcurrentDictionary<string, bool>();
        var listening = Task.WhenAll(
            ListenAsync(bus, Topics.JobsOut, message =>
            {
                var job = JsonDocument.Parse(message.Payload).RootElement;
                var request = message.Headers!["idempotency-key"];
                job.TryGetProperty("state", out var state).ShouldBeTrue($"{request}: {job}");
                accepted[request] = true;
                if (state.GetString() is not ("queued" or "running"))
                {
                    ended.GetOrAdd(request, job.GetProperty("id").GetString()!).ShouldBe(job.GetProperty("id").GetString(), "one request became two jobs");
                }
            }, stop.Token),
            ListenAsync(bus, Topics.Results("cam"), message => frames[message.Headers!["frame-id"]] = message.Headers["content-type"] == "application/json", stop.Token));

        // Before: jobs and frames by Kafka, of which the outage catches many half way.
        await Task.WhenAll(Enumerable.Range(0, 150).SelectMany(i => new[]
        {
            SendAsync(bus, Topics.JobsIn, new BusMessage("", $"r{i}", Body())),
            SendAsync(bus, Topics.Frames("cam"), new BusMessage("", $"c{i % 5}", s_picture, new Dictionary<string, string> { ["frame-id"] = $"f{i}" })),
        }));

        await Wait.UntilAsync(() => accepted.Count > 10 && frames.Count > 5);
        await broker.StopAsync();

        // The dark: a client goes on by HTTP, and is answered 202.
        var posted = new List<string>();
        var dark = System.Diagnostics.Stopwatch.StartNew();
        while (dark.Elapsed < TimeSpan.FromSeconds(15) || posted.Count < 50)
        {
            using var answer = await server.Http.PostAsync("/v1/jobs", new ByteArrayContent(Body()) { Headers = { ContentType = new("application/json") } }, Token);
            answer.StatusCode.ShouldBe(HttpStatusCode.Accepted);
            posted.Add((await answer.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("id").GetString()!);
            await Task.Delay(50, Token);
        }

        await broker.StartAsync();
        foreach (var id in posted)
        {
            await EndAsync(server, id);
        }

        await Wait.UntilAsync(() => ended.Count == 150 && frames.Count == 150, state: () => $"{ended.Count} jobs and {frames.Count} frames of 150 are told");
        frames.Values.ShouldAllBe(found => found);
        foreach (var id in ended.Values)
        {
            await EndAsync(server, id);
        }

        // Exactly once: as many jobs and runs as there were requests.
        var page = server.Get<Myelin.Hosting.Telemetry.MetricsPage>().Write();
        OpenTopicsServer.Measure(page, "myelin_jobs_accepted_total").ShouldBe(posted.Count + 150);
        OpenTopicsServer.Measure(page, "myelin_jobs_ended_total").ShouldBe(posted.Count + 150);
        OpenTopicsServer.Measure(page, "myelin_jobs_retries_total").ShouldBe(0);
        OpenTopicsServer.Measure(page, "myelin_bus_publish_failures_total").ShouldBeGreaterThan(0, "the outage was not long enough to be one");
        await stop.CancelAsync();
        await listening;
    }

    private static byte[] Body() => JsonSerializer.SerializeToUtf8Bytes(new { model = "faces", input = new { image = Convert.ToBase64String(s_picture) }, parameters = new { annotate = false } });

    /// <summary>As a sender does that wants to be sure: until it is there.</summary>
    private static Task SendAsync(IBus bus, string topic, BusMessage message) =>
        Wait.UntilAsync(async () => await bus.DeliverAsync(topic, message, Token) == Delivery.Held);

    private static async Task EndAsync(RunningServer server, string id)
    {
        var job = await server.Http.GetFromJsonAsync<JsonElement>($"/v1/jobs/{id}?wait=60s", Token);
        job.GetProperty("state").GetString().ShouldBe("succeeded");
        job.GetProperty("attempt").GetInt32().ShouldBe(1);
    }

    private static async Task ListenAsync(IBus bus, string topic, Action<BusMessage> hear, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var message in bus.SubscribeAsync(topic, "test", cancellationToken).WithCancellation(cancellationToken))
            {
                hear(message);
                message.Done();
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The test is over.
        }
    }
}
