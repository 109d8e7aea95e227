using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Myelin.Inference;
using Myelin.Inference.Tasks;
using Myelin.Serving.Admission;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

public sealed class CallMemoryTests : IAsyncDisposable
{
    private const long Gibibyte = 1L << 30;

    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly CallMemory _memory;
    private long _models;
    private long _room = long.MaxValue;

    public CallMemoryTests() => _memory = new CallMemory(
        limit =>
        {
            _room = limit;
            return _models;
        },
        4 * Gibibyte,
        _services.GetRequiredService<IMeterFactory>());

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Enter_WhatDoesNotFitNow_WaitsForItsTurn()
    {
        var first = await EnterAsync(3);
        var large = EnterAsync(2);
        var small = EnterAsync(1);
        (large.IsCompleted, small.IsCompleted).ShouldBe((false, false), "nobody overtakes: the large one would never come in");

        first.Dispose();

        await Task.WhenAll(large, small).WaitAsync(TimeSpan.FromMinutes(2), Token);
    }

    [Fact]
    public async Task Enter_MoreThanTheBudget_IsRefusedWithTheCure()
    {
        var refused = await Should.ThrowAsync<InputException>(async () =>
            await _memory.EnterAsync(new MemoryNeed(5 * Gibibyte, "parameters.width", "Ask for less"), Token));

        refused.Field.ShouldBe("parameters.width");
        refused.Message.ShouldContain("5 GiB");
        refused.Message.ShouldContain("runtime.memoryBudget");
        refused.Message.ShouldContain("Ask for less");
    }

    [Fact]
    public async Task Enter_BesideModels_MakesThemGiveRoomAndRunsAloneWhereTheyCannot()
    {
        _models = 4 * Gibibyte;

        var alone = await EnterAsync(1);
        _room.ShouldBe(3 * Gibibyte);
        var second = EnterAsync(1);
        second.IsCompleted.ShouldBeFalse();
        alone.Dispose();

        await second.WaitAsync(TimeSpan.FromMinutes(2), Token);
    }

    /// <summary>A quarter of the budget stays the calls': one large model does not make all others wait for each other.</summary>
    [Fact]
    public async Task Enter_BesideAModelInUseAsLargeAsTheBudget_SmallerCallsRunTogether()
    {
        _models = 4 * Gibibyte;
        var half = new MemoryNeed(Gibibyte / 2);

        using var first = await _memory.EnterAsync(half, Token);
        using var second = await _memory.EnterAsync(half, Token);

        _memory.Taken.ShouldBe(Gibibyte);
        var third = _memory.EnterAsync(half, Token).AsTask();
        third.IsCompleted.ShouldBeFalse();
        first!.Dispose();
        await third.WaitAsync(TimeSpan.FromMinutes(2), Token);
    }

    /// <summary>What a model is made for is never refused: SD 2 at its own 768×768 on a small machine.</summary>
    [Fact]
    public async Task Enter_UsualCallOfMoreThanTheBudget_RunsAlone()
    {
        var other = await EnterAsync(1);
        var large = _memory.EnterAsync(new MemoryNeed(5 * Gibibyte, Usual: true), Token).AsTask();
        large.IsCompleted.ShouldBeFalse();

        other.Dispose();
        var alone = await large.WaitAsync(TimeSpan.FromMinutes(2), Token);
        var next = EnterAsync(1);
        next.IsCompleted.ShouldBeFalse();
        alone!.Dispose();

        await next.WaitAsync(TimeSpan.FromMinutes(2), Token);
    }

    [Fact]
    public async Task Enter_CancelledInLine_LetsTheNextIn()
    {
        var first = await EnterAsync(2);
        using var stop = new CancellationTokenSource();
        var large = _memory.EnterAsync(new MemoryNeed(3 * Gibibyte), stop.Token).AsTask();
        var small = EnterAsync(1);

        await stop.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => large);
        (await small.WaitAsync(TimeSpan.FromMinutes(2), Token)).Dispose();
        first.Dispose();
        (await EnterAsync(4)).ShouldNotBeNull("everything came back");
    }

    public async ValueTask DisposeAsync()
    {
        _memory.Dispose();
        await _services.DisposeAsync();
    }

    private async Task<IDisposable> EnterAsync(long gibibytes) => (await _memory.EnterAsync(new MemoryNeed(gibibytes * Gibibyte), Token))!;
}
