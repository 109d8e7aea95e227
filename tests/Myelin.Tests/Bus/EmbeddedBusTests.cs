using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Bus;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus;

public sealed class EmbeddedBusTests : BusConformance
{
    private protected override IBus Bus { get; } = new EmbeddedBus(NullLogger<EmbeddedBus>.Instance);

    [Fact]
    public async Task Publish_NobodyListens_IsDropped()
    {
        await PublishAsync("topic", null, 1);
        var reader = Subscribe("topic", null);
        await PublishAsync("topic", null, 2);

        Number(await NextAsync(reader)).ShouldBe(2);
    }

    [Fact]
    public async Task Publish_FullSubscriber_WaitsUntilItReads()
    {
        var reader = Subscribe("topic", null);
        for (var i = 0; i < BusMember.QueueLength; i++)
        {
            await PublishAsync("topic", null, i);
        }

        var waiting = PublishAsync("topic", null, -1).AsTask();
        waiting.IsCompleted.ShouldBeFalse();
        await NextAsync(reader);
        await waiting.WaitAsync(TimeSpan.FromSeconds(10), Token);
    }

    /// <summary>The publisher waits for the one that does not read; the others do not.</summary>
    [Fact]
    public async Task Publish_OneSubscriberIsFull_TheOthersHaveItAtOnce()
    {
        var slow = Subscribe("topic", null);
        for (var i = 0; i < BusMember.QueueLength; i++)
        {
            await PublishAsync("topic", null, i);
        }

        var (broadcast, member) = (Subscribe("topic", null), Subscribe("topic", "g"));
        var waiting = PublishAsync("topic", null, -1).AsTask();

        Number(await NextAsync(broadcast)).ShouldBe(-1);
        Number(await NextAsync(member)).ShouldBe(-1);
        waiting.IsCompleted.ShouldBeFalse();
        await NextAsync(slow);
        await waiting.WaitAsync(TimeSpan.FromSeconds(10), Token);
    }

    [Fact]
    public async Task Leave_MemberWithUnreadMessages_OthersGetThem()
    {
        using var leaving = new CancellationTokenSource();
        var gone = Bus.SubscribeAsync("topic", "g", leaving.Token);
        for (var i = 0; i < 10; i++)
        {
            await PublishAsync("topic", $"k{i}", i);
        }

        var stays = Subscribe("topic", "g");
        await leaving.CancelAsync();

        var numbers = new List<int>();
        for (var i = 0; i < 10; i++)
        {
            numbers.Add(Number(await NextAsync(stays)));
        }

        numbers.ShouldBe(Enumerable.Range(0, 10));
        GC.KeepAlive(gone);
    }

    [Fact]
    public async Task Leave_FullMember_FreesItsPublishers()
    {
        using var leaving = new CancellationTokenSource();
        _ = Bus.SubscribeAsync("topic", null, leaving.Token);
        for (var i = 0; i < BusMember.QueueLength; i++)
        {
            await PublishAsync("topic", null, i);
        }

        var waiting = PublishAsync("topic", null, -1).AsTask();
        await leaving.CancelAsync();

        await waiting.WaitAsync(TimeSpan.FromSeconds(10), Token);
    }
}
