using Myelin.Hosting.Bus;
using Myelin.Hosting.Bus.Kafka;
using Myelin.Hosting.Configuration;
using Myelin.Testing;
using Myelin.Tests.Streams;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus.Kafka;

public sealed class KafkaTopicsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>On a cluster that makes topics by itself, as most do: the first message must not be quicker than the topic.</summary>
    [Fact]
    public async Task Topics_OfTheServer_HaveItsPartitionsAndBounds()
    {
        await using var broker = await KafkaBroker.StartOwnAsync("auto.create.topics.enable=true;num.partitions=1");
        var options = KafkaHost.Options(broker) with { Partitions = 5, MaxMessageBytes = 1_234_567, RetentionBytes = 7_654_321 };
        await using var host = KafkaHost.Start(options);
        using var stop = new CancellationTokenSource();
        var reader = host.Bus.SubscribeAsync("read", "g", stop.Token).GetAsyncEnumerator(stop.Token);
        foreach (var topic in new[] { "one", "two", "three", "read" })
        {
            await host.Bus.PublishAsync(topic, new BusMessage("", "k", new byte[] { 1 }), Token);
        }

        await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Token);
        (await host.Bus.DeliverAsync("three", new BusMessage("", "k", new byte[] { 1 }), Token)).ShouldBe(Delivery.Held);
        var text = await broker.ToolAsync("topics --describe");
        foreach (var topic in new[] { "one", "two", "three", "read" })
        {
            var line = text.Split('\n').Single(l => l.Contains($"Topic: {options.Prefix}.{topic}\t", StringComparison.Ordinal) && l.Contains("PartitionCount", StringComparison.Ordinal));
            line.ShouldContain("PartitionCount: 5");
            line.ShouldContain("max.message.bytes=1234567");
            line.ShouldContain("retention.bytes=7654321");
            line.ShouldContain("retention.ms=86400000");
            line.ShouldContain("message.timestamp.type=LogAppendTime");
        }

        await stop.CancelAsync();
    }

    [Fact]
    public async Task Topics_BeyondTheLimit_AreForgottenAndAskedForAgain()
    {
        await using var host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()));
        var topics = host.Get<KafkaTopics>();
        topics.Limit = 3;
        for (var i = 0; i < 8; i++)
        {
            await topics.EnsureAsync($"t{i}");
            topics.Known.ShouldBeLessThanOrEqualTo(3);
        }

        (await host.Bus.DeliverAsync("t0", new BusMessage("", "k", new byte[] { 1 }), Token)).ShouldBe(Delivery.Held);
    }

    [Fact]
    public async Task Topics_NoBrokerAndNamesMadeUp_AreBounded()
    {
        await using var host = KafkaHost.Start(new KafkaOptions { Bootstrap = "127.0.0.1:1", Prefix = KafkaHost.NewPrefix(), Instance = "i" });
        var topics = host.Get<KafkaTopics>();
        topics.Limit = 3;

        for (var i = 0; i < 100; i++)
        {
            _ = topics.EnsureAsync($"t{i}");
        }

        topics.Known.ShouldBe(3);
    }

    /// <summary>A partition that is full forgets its oldest messages. A group that was away goes on with what is left, and says what is not.</summary>
    [Fact]
    public async Task Partition_FullBeforeItWasRead_GoesOnAndCountsWhatIsGone()
    {
        var broker = await KafkaBroker.SharedAsync();
        var options = KafkaHost.Options(broker) with { Partitions = 1 };
        await using var host = KafkaHost.Start(options);
        await PublishAsync(host, 0, 10);
        (await ReadAsync(options, 10)).Numbers.ShouldBe(Enumerable.Range(0, 10));
        await PublishAsync(host, 10, 30);

        // What reaching retention.bytes does, without waiting for the broker's rounds.
        using var folder = new TemporaryFolder();
        var file = folder.Combine("before.json");
        await File.WriteAllTextAsync(file, $$"""{"version": 1, "partitions": [{"topic": "{{options.Prefix}}.work", "partition": 0, "offset": 25}]}""", Token);
        await broker.ToolAsync($"tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server {broker.Bootstrap} --offset-json-file {file}");

        var (numbers, page) = await ReadAsync(options, 15);
        numbers.ShouldBe(Enumerable.Range(25, 15));
        OpenTopicsServer.Measure(page, """myelin_bus_deleted_unread_total{group="g",topic="work"}""").ShouldBe(15);
    }

    private static async Task PublishAsync(KafkaHost host, int first, int count)
    {
        for (var i = first; i < first + count; i++)
        {
            (await host.Bus.DeliverAsync("work", new BusMessage("", "k", new[] { (byte)i }), Token)).ShouldBe(Delivery.Held);
        }
    }

    /// <summary>A member that reads so many, is done with them and leaves.</summary>
    private static async Task<(List<int> Numbers, string Page)> ReadAsync(Myelin.Hosting.Configuration.KafkaOptions options, int count)
    {
        await using var host = KafkaHost.Start(options);
        using var stop = new CancellationTokenSource();
        var numbers = new List<int>();
        await using (var reader = host.Bus.SubscribeAsync("work", "g", stop.Token).GetAsyncEnumerator(stop.Token))
        {
            while (numbers.Count < count)
            {
                await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Token);
                numbers.Add(reader.Current.Payload.Span[0]);
                reader.Current.Done();
            }
        }

        await stop.CancelAsync();
        return (numbers, host.Page());
    }
}
