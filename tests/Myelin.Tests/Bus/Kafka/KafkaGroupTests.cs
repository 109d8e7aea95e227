using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Myelin.Hosting.Bus;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus.Kafka;

public sealed class KafkaGroupTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Three processes' worth of members come and go under load: every message is handled, and a key's in order.</summary>
    [Fact]
    public async Task Rebalance_MembersJoinAndLeave_NothingIsLostAndKeysKeepTheirOrder()
    {
        const int Messages = 3000;
        var options = KafkaHost.Options(await KafkaBroker.SharedAsync());
        var handled = new ConcurrentDictionary<int, bool>();
        var newest = new ConcurrentDictionary<string, int>();
        var early = 0;
        void Handle(BusMessage message)
        {
            var number = Number(message);
            if (handled.TryAdd(number, true))
            {
                // A first delivery: everything of its key that came before was delivered before.
                newest.AddOrUpdate(message.Key!, number, (_, last) =>
                {
                    early += number < last ? 1 : 0;
                    return Math.Max(last, number);
                });
            }
        }

        await using var first = new GroupMember(options, Handle);
        await using var second = new GroupMember(options with { Instance = "second" }, Handle);
        var publishing = Task.Run(
            async () =>
            {
                for (var i = 0; i < Messages; i++)
                {
                    await first.Host.Bus.PublishAsync("work", Message($"k{i % 30}", i), Token);
                    await Task.Delay(i % 3 == 0 ? 5 : 0, Token);
                }
            },
            Token);
        await KafkaHost.SettledAsync("g", 4, first.Host, second.Host);
        var third = new GroupMember(options with { Instance = "third" }, Handle);
        await KafkaHost.SettledAsync("g", 4, first.Host, second.Host, third.Host);
        await second.LeaveAsync();
        await publishing;
        await third.DisposeAsync();

        await Wait.UntilAsync(() => handled.Count == Messages);
        early.ShouldBe(0);
    }

    [Fact]
    public async Task Lag_MessagesNotDoneWith_IsExportedUntilTheyAre()
    {
        await using var host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()));
        using var stop = new CancellationTokenSource();
        var reader = host.Bus.SubscribeAsync("work", "g", stop.Token).GetAsyncEnumerator(stop.Token);
        for (var i = 0; i < 40; i++)
        {
            await host.Bus.PublishAsync("work", Message(i.ToString(CultureInfo.InvariantCulture), i), Token);
        }

        var messages = new List<BusMessage>();
        for (var i = 0; i < 40; i++)
        {
            await reader.MoveNextAsync();
            messages.Add(reader.Current);
        }

        await Wait.UntilAsync(() => Measure(host, "myelin.bus.lag") == 40);
        messages.ForEach(m => m.Done());
        await Wait.UntilAsync(() => Measure(host, "myelin.bus.lag") == 0);
        await stop.CancelAsync();
    }

    /// <summary>A reader that does not read costs a bounded buffer; its partitions are paused, and all is read once it goes on.</summary>
    [Fact]
    public async Task Backpressure_ReaderStops_PausesAndLosesNothing()
    {
        await using var host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()));
        using var stop = new CancellationTokenSource();
        var messages = host.Bus.SubscribeAsync("work", "g", stop.Token);
        for (var i = 0; i < 4000; i++)
        {
            await host.Bus.PublishAsync("work", Message(i.ToString(CultureInfo.InvariantCulture), i), Token);
        }

        await Wait.UntilAsync(() => Measure(host, "myelin.bus.paused") == 1);
        var received = Measure(host, "myelin.bus.received");
        await Wait.UntilAsync(() => Measure(host, "myelin.bus.lag") == 4000);
        Measure(host, "myelin.bus.received").ShouldBe(received, "it read on while it was full");

        var numbers = new HashSet<int>();
        await foreach (var message in messages.WithCancellation(Token))
        {
            message.Done();
            numbers.Add(Number(message));
            if (numbers.Count == 4000)
            {
                break;
            }
        }

        await stop.CancelAsync();
    }

    /// <summary>Static membership: a restart is no reason to move partitions about, and what came meanwhile waits for it.</summary>
    [Fact]
    public async Task Restart_WithinTheSession_KeepsItsPartitionsAndTheOthersDoNotNotice()
    {
        var options = KafkaHost.Options(await KafkaBroker.SharedAsync()) with { SessionTimeout = TimeSpan.FromSeconds(45) };
        var seen = new ConcurrentDictionary<int, string>();
        await using var stays = new GroupMember(options with { Instance = "stays" }, m => seen[Number(m)] = "stays");
        var first = new GroupMember(options with { Instance = "restarts" }, m => seen[Number(m)] = "first");
        await KafkaHost.SettledAsync("g", 4, stays.Host, first.Host);
        await PublishAsync(0);
        await Wait.UntilAsync(() => seen.Count == 100);
        var rebalances = Measure(stays.Host, "myelin.bus.rebalances");

        await first.DisposeAsync();
        await PublishAsync(100);
        await using var second = new GroupMember(options with { Instance = "restarts" }, m => seen[Number(m)] = "second");
        await Wait.UntilAsync(() => seen.Count == 200);

        Measure(stays.Host, "myelin.bus.rebalances").ShouldBe(rebalances);
        for (var i = 0; i < 100; i++)
        {
            (seen[i] == "stays").ShouldBe(seen[i + 100] == "stays", $"key {i} moved");
        }

        async Task PublishAsync(int from)
        {
            for (var i = 0; i < 100; i++)
            {
                await stays.Host.Bus.PublishAsync("work", Message(i.ToString(CultureInfo.InvariantCulture), from + i), Token);
            }
        }
    }

    [Fact]
    public async Task Instance_TakenByAnotherProcess_GoesOnWithoutAName()
    {
        var options = KafkaHost.Options(await KafkaBroker.SharedAsync());
        var seen = new ConcurrentDictionary<int, bool>();
        await using var one = new GroupMember(options, m => seen[Number(m)] = true);
        await Wait.UntilAsync(() => one.Host.Bus.PartitionsOf("g").Sum() == 4);
        await using var other = new GroupMember(options, m => seen[Number(m)] = true);

        await KafkaHost.SettledAsync("g", 4, one.Host, other.Host);
        for (var i = 0; i < 100; i++)
        {
            await one.Host.Bus.PublishAsync("work", Message(i.ToString(CultureInfo.InvariantCulture), i), Token);
        }

        await Wait.UntilAsync(() => seen.Count == 100);
    }

    private static BusMessage Message(string key, int number) =>
        new("", key, Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture)));

    private static int Number(BusMessage message) => int.Parse(message.Payload.Span, CultureInfo.InvariantCulture);

    /// <summary>The sum of an instrument's series now.</summary>
    private static double Measure(KafkaHost host, string name)
    {
        var page = host.Page().Split('\n').Where(l => l.StartsWith(name.Replace('.', '_'), StringComparison.Ordinal));
        return page.Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    /// <summary>One member in a host of its own, as a process would be.</summary>
    private sealed class GroupMember : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _reading;

        public GroupMember(Myelin.Hosting.Configuration.KafkaOptions options, Action<BusMessage> handle)
        {
            Host = KafkaHost.Start(options);
            var messages = Host.Bus.SubscribeAsync("work", "g", _stop.Token);
            _reading = Task.Run(async () =>
            {
                try
                {
                    await foreach (var message in messages)
                    {
                        handle(message);
                        message.Done();
                    }
                }
                catch (OperationCanceledException) when (_stop.IsCancellationRequested)
                {
                    // It leaves.
                }
            });
        }

        public KafkaHost Host { get; }

        public async Task LeaveAsync()
        {
            await _stop.CancelAsync();
            await _reading;
        }

        public async ValueTask DisposeAsync()
        {
            await LeaveAsync();
            await Host.DisposeAsync();
            _stop.Dispose();
        }
    }
}
