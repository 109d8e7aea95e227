using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Bus.Kafka;
using Myelin.Testing;
using Myelin.Tests.Streams;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus.Kafka;

public sealed class KafkaPublisherTests
{
    private const int Largest = 100_000;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Deliver_MoreThanTheBusTakes_IsTooLargeAndCounted()
    {
        await using var host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()) with { MaxMessageBytes = Largest });

        (await DeliverAsync(host, "work", new byte[Largest / 2])).ShouldBe(Delivery.Held);
        (await DeliverAsync(host, "work", new byte[Largest * 2])).ShouldBe(Delivery.TooLarge);

        OpenTopicsServer.Measure(host.Page(), """myelin_bus_publish_failures_total{topic="work",reason="MsgSizeTooLarge"}""").ShouldBe(1);
    }

    /// <summary>The limit of the topic may be less than this server's: its owner made it so.</summary>
    [Fact]
    public async Task Deliver_MoreThanTheTopicTakes_IsTooLarge()
    {
        var options = KafkaHost.Options(await KafkaBroker.SharedAsync());
        await using (var small = KafkaHost.Start(options with { MaxMessageBytes = Largest }))
        {
            (await DeliverAsync(small, "work", new byte[10])).ShouldBe(Delivery.Held);
        }

        await using var host = KafkaHost.Start(options);
        var noise = new byte[Largest * 2];
        new Random(1).NextBytes(noise); // is no smaller when packed

        (await DeliverAsync(host, "work", noise)).ShouldBe(Delivery.TooLarge);
        (await DeliverAsync(host, "work", new byte[10])).ShouldBe(Delivery.Held);
    }

    [Fact]
    public async Task Reject_MessageThatHasNoRoomForTheReason_GoesWithoutItsPayload()
    {
        await using var host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()) with { MaxMessageBytes = Largest });
        using var stop = new CancellationTokenSource();
        var reader = host.Bus.SubscribeAsync("work", "g", stop.Token).GetAsyncEnumerator(stop.Token);
        var aside = host.Bus.SubscribeAsync(Topics.DeadLetters, "people", stop.Token).GetAsyncEnumerator(stop.Token);
        (await DeliverAsync(host, "work", new byte[Largest - 500])).ShouldBe(Delivery.Held);
        await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);

        await host.Bus.RejectAsync(reader.Current, new string('x', 2000), Token);

        await aside.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);
        aside.Current.Headers!["reason"].ShouldBe(new string('x', 1000));
        aside.Current.Headers["origin"].ShouldBe(reader.Current.Origin);
        aside.Current.Headers["omitted"].ShouldBe("payload of 99500 bytes");
        aside.Current.Payload.Length.ShouldBe(0);
        await Wait.UntilAsync(() => OpenTopicsServer.Measure(host.Page(), """myelin_bus_lag{group="g",topic="work"}""") == 0);
        await stop.CancelAsync();
    }

    /// <summary>Nobody takes the dead letter for a while: it is not lost, and its partition does not stand still.</summary>
    [Fact]
    public async Task Reject_WhileTheBrokerIsAway_IsPutAsideWhenItIsBack()
    {
        await using var broker = await KafkaBroker.StartOwnAsync();
        var options = KafkaHost.Options(broker);
        await using (var patient = KafkaHost.Start(options))
        {
            (await DeliverAsync(patient, "work", [1])).ShouldBe(Delivery.Held);
        }

        await using var host = KafkaHost.Start(options with { BufferTime = TimeSpan.FromSeconds(1) });
        using var stop = new CancellationTokenSource();
        var reader = host.Bus.SubscribeAsync("work", "g", stop.Token).GetAsyncEnumerator(stop.Token);
        var aside = host.Bus.SubscribeAsync(Topics.DeadLetters, "people", stop.Token).GetAsyncEnumerator(stop.Token);
        await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);

        await broker.KillAsync();
        await host.Bus.RejectAsync(reader.Current, "unusable", Token);
        await Wait.UntilAsync(() => OpenTopicsServer.Measure(host.Page(), "myelin_bus_publish_failures_total{topic=\"myelin.dead-letters\"") >= 1, state: host.Page);
        await broker.StartAsync();

        await aside.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);
        aside.Current.Headers!["origin"].ShouldBe(reader.Current.Origin);
        var again = reader.MoveNextAsync().AsTask(); // the group may have lost its place with the broker: the message comes again
        await Wait.UntilAsync(async () =>
        {
            if (again.IsCompleted)
            {
                await host.Bus.RejectAsync(reader.Current, "unusable", Token);
                again = reader.MoveNextAsync().AsTask();
            }

            return OpenTopicsServer.Measure(host.Page(), """myelin_bus_lag{group="g",topic="work"}""") == 0;
        });
        OpenTopicsServer.Measure(host.Page(), "myelin_bus_dead_letters_lost_total").ShouldBe(0);
        await stop.CancelAsync();
    }

    /// <summary>Nor ever: it is given up after its four tries, told and counted, and its partition goes on.</summary>
    [Fact]
    public async Task Reject_NoBrokerEverTakesIt_IsGivenUpAndCounted()
    {
        await using var broker = await KafkaBroker.StartOwnAsync();
        var options = KafkaHost.Options(broker);
        await using (var patient = KafkaHost.Start(options))
        {
            (await DeliverAsync(patient, "work", [1])).ShouldBe(Delivery.Held);
        }

        var time = new ManualTime();
        await using var host = KafkaHost.Start(options with { BufferTime = TimeSpan.FromSeconds(1) }, time);
        using var stop = new CancellationTokenSource();
        var reader = host.Bus.SubscribeAsync("work", "g", stop.Token).GetAsyncEnumerator(stop.Token);
        await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);
        var done = 0;

        await broker.KillAsync();
        await host.Bus.RejectAsync(reader.Current with { Settle = () => done++ }, "unusable", Token);
        await Wait.UntilAsync(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(30)); // the pauses between tries
                return OpenTopicsServer.Measure(host.Page(), """myelin_bus_dead_letters_lost_total{topic="work"}""") == 1;
            },
            state: host.Page);

        OpenTopicsServer.Measure(host.Page(), "myelin_bus_publish_failures_total{topic=\"myelin.dead-letters\"").ShouldBe(4);
        await Wait.UntilAsync(() => done == 1);
        await stop.CancelAsync();
    }

    /// <summary>The client's own way to break an idempotent producer for good, as a broker that forgot it would.</summary>
    [Fact]
    public async Task Producer_BreaksForGood_IsReplacedAndWaitersAreTold()
    {
        await using var host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()));
        (await DeliverAsync(host, "work", [1])).ShouldBe(Delivery.Held);
        var waiting = Enumerable.Range(0, 200).Select(_ => DeliverAsync(host, "work", new byte[50_000])).ToList();

        Break(host.Get<KafkaPublisher>());

        // Some were on their way and held, the others are dropped; nobody waits for ever.
        await Task.WhenAll(waiting).WaitAsync(TimeSpan.FromSeconds(60), Token);
        await Wait.UntilAsync(async () => await DeliverAsync(host, "work", [2]) == Delivery.Held, "the producer is replaced");
    }

    private static Task<Delivery> DeliverAsync(KafkaHost host, string topic, byte[] payload) =>
        host.Bus.DeliverAsync(topic, new BusMessage("", "k", payload), Token).AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);

    private static void Break(KafkaPublisher publisher)
    {
        const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
        var producer = typeof(KafkaPublisher).GetField("_producer", Any)!.GetValue(publisher)!;
        var handle = producer.GetType().GetProperty("Handle", Any)!.GetValue(producer)!;
        var native = (SafeHandle)handle.GetType().GetProperty("LibrdkafkaHandle", Any)!.GetValue(handle)!;
        var breakClient = Marshal.GetDelegateForFunctionPointer<BreakClient>(NativeLibrary.GetExport(NativeLibrary.Load(LoadedLibrary()), "rd_kafka_test_fatal_error"));
        _ = breakClient(native.DangerousGetHandle(), 45, Encoding.ASCII.GetBytes("broken by a test\0")); // OUT_OF_ORDER_SEQUENCE_NUMBER
    }

    /// <summary>The package holds builds for several systems; this is the one that the client chose.</summary>
    private static string LoadedLibrary() =>
        File.ReadLines("/proc/self/maps").Select(line => line[(line.LastIndexOf(' ') + 1)..]).First(path => path.Contains("librdkafka", StringComparison.Ordinal) && path.EndsWith(".so", StringComparison.Ordinal));

    private delegate int BreakClient(nint client, int error, byte[] reason);
}
