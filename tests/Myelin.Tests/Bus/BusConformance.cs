using System.Globalization;
using System.Text;
using Myelin.Hosting.Bus;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus;

/// <summary>What every bus keeps to. A class per implementation derives from it.</summary>
public abstract class BusConformance : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();

    private protected abstract IBus Bus { get; }

    /// <summary>Waits until the members of a group have divided the topic among them; for a bus that does so in the background.</summary>
    private protected virtual Task SettledAsync(string group, int members) => Task.CompletedTask;

    private protected static CancellationToken Token => TestContext.Current.CancellationToken;

    public virtual async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _stop.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Publish_Message_ArrivesWhole()
    {
        var reader = Subscribe("topic.a", "g");
        await Bus.PublishAsync("topic.a", new BusMessage("", "k", new byte[] { 1, 2 }, new Dictionary<string, string> { ["traceparent"] = "00" }), Token);

        var message = await NextAsync(reader);

        message.Topic.ShouldBe("topic.a");
        message.Key.ShouldBe("k");
        message.Payload.ToArray().ShouldBe([1, 2]);
        message.Headers!["traceparent"].ShouldBe("00");
    }

    [Fact]
    public async Task Publish_SameKey_KeepsOrder()
    {
        var reader = Subscribe("topic", "g");
        for (var i = 0; i < 500; i++)
        {
            await PublishAsync("topic", $"k{i % 5}", i);
        }

        var byKey = new Dictionary<string, int>();
        for (var i = 0; i < 500; i++)
        {
            var message = await NextAsync(reader);
            var number = Number(message);
            number.ShouldBeGreaterThan(byKey.GetValueOrDefault(message.Key!, -1));
            byKey[message.Key!] = number;
        }
    }

    [Fact]
    public async Task Group_TwoMembers_ShareAndKeepKeysApart()
    {
        var readers = new[] { Subscribe("topic", "g"), Subscribe("topic", "g") };
        await SettledAsync("g", 2);
        var read = readers.Select(CollectAsync).ToList();
        for (var i = 0; i < 200; i++)
        {
            await PublishAsync("topic", $"k{i % 20}", i);
        }

        await PublishAsync("topic", null, -1);
        await Wait.UntilAsync(() => read.Sum(r => { lock (r.Messages) { return r.Messages.Count; } }) >= 201);
        var keys = read.Select(r => { lock (r.Messages) { return r.Messages.Where(m => m.Key is not null).Select(m => m.Key!).ToHashSet(); } }).ToList();
        keys[0].Intersect(keys[1]).ShouldBeEmpty();
        keys.Sum(k => k.Count).ShouldBe(20);
    }

    [Fact]
    public async Task Broadcast_EverySubscriber_GetsEverything()
    {
        var readers = Enumerable.Range(0, 3).Select(_ => Subscribe("topic", null)).ToList();
        await PublishAsync("topic", "k", 7);

        foreach (var reader in readers)
        {
            Number(await NextAsync(reader)).ShouldBe(7);
        }
    }

    [Fact]
    public async Task Subscribe_Pattern_MatchesBeginnings()
    {
        var reader = Subscribe("jobs.*", "g");
        await PublishAsync("other.a", null, 1);
        await PublishAsync("jobs.a.high", null, 2);
        await PublishAsync("jobs", null, 3);
        await PublishAsync("jobs.b", null, 4);

        (Number(await NextAsync(reader)) + Number(await NextAsync(reader))).ShouldBe(6);
    }

    [Fact]
    public async Task Group_MemberLeavesWithOpenMessages_OthersGetThem()
    {
        using var leaving = new CancellationTokenSource();
        var gone = Bus.SubscribeAsync("topic", "g", leaving.Token).GetAsyncEnumerator(leaving.Token);
        await PublishAsync("topic", "k", 1);
        await PublishAsync("topic", "k", 2);
        var first = await NextAsync(gone);
        Number(first).ShouldBe(1);
        first.Done();
        var stays = Subscribe("topic", "g");
        await leaving.CancelAsync();

        Number(await NextAsync(stays)).ShouldBe(2);
    }

    [Fact]
    public async Task Reject_Message_DoesNotHoldUpTheNext()
    {
        var reader = Subscribe("topic", "g");
        await PublishAsync("topic", "k", 1);
        await PublishAsync("topic", "k", 2);

        await Bus.RejectAsync(await NextAsync(reader), "unreadable", Token);

        Number(await NextAsync(reader)).ShouldBe(2);
    }

    private protected static async Task<BusMessage> NextAsync(IAsyncEnumerator<BusMessage> reader)
    {
        (await reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token)).ShouldBeTrue();
        return reader.Current;
    }

    private protected static int Number(BusMessage message) => int.Parse(Encoding.ASCII.GetString(message.Payload.Span), CultureInfo.InvariantCulture);

    private protected IAsyncEnumerator<BusMessage> Subscribe(string topics, string? group) =>
        Bus.SubscribeAsync(topics, group, _stop.Token).GetAsyncEnumerator(_stop.Token);

    private protected ValueTask PublishAsync(string topic, string? key, int number) =>
        Bus.PublishAsync(topic, new BusMessage(topic, key, Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture))), Token);

    private static (Task Loop, List<BusMessage> Messages) CollectAsync(IAsyncEnumerator<BusMessage> reader)
    {
        var messages = new List<BusMessage>();
        return (Task.Run(async () =>
        {
            while (await reader.MoveNextAsync())
            {
                reader.Current.Done();
                lock (messages)
                {
                    messages.Add(reader.Current);
                }
            }
        }), messages);
    }
}
