using Myelin.Inference.Runtimes.Uds;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

public sealed class RingAllocatorTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void TakeAndReturn_AnyOrder_PlacesNeverOverlapAndFailOnlyWithoutRoom(int seed)
    {
        const int Offset = 4096, Bytes = 1 << 20;
        var random = new Random(seed);
        var allocator = new RingAllocator(Offset, Bytes);
        var used = new bool[Bytes / 64]; // the plainest model there is
        var live = new List<(RingSlot Slot, int Bytes)>();
        for (var step = 0; step < 20_000; step++)
        {
            // Phases that fill and phases that empty: fragments of every kind come and go.
            if (live.Count > 0 && random.Next(100) < (step / 1000 % 2 == 0 ? 40 : 60))
            {
                var at = random.Next(live.Count);
                var (slot, bytes) = live[at];
                live[at] = live[^1];
                live.RemoveAt(live.Count - 1);
                allocator.Return(slot);
                Mark(slot, bytes, false);
            }
            else
            {
                var bytes = random.Next(4) switch { 0 => random.Next(1, 64), 1 => random.Next(1, 2000), 2 => random.Next(1, 30_000), _ => random.Next(1, 400_000) };
                var taken = allocator.TryTake(bytes, out var slot);
                if (!taken)
                {
                    LongestFree().ShouldBeLessThan(Units(bytes), $"seed {seed}, step {step}, {bytes} bytes"); // what was taken was free: Mark sees
                }
                else
                {
                    (slot.Offset % 64).ShouldBe(0);
                    slot.Offset.ShouldBeInRange(Offset, Offset + Bytes - bytes);
                    Mark(slot, bytes, true);
                    live.Add((slot, bytes));
                }
            }

            allocator.Places.ShouldBe(live.Count);
        }

        live.ForEach(place => allocator.Return(place.Slot));
        (allocator.Places, allocator.UsedBytes).ShouldBe((0, 0L));
        allocator.TryTake(Bytes, out _).ShouldBeTrue("all pieces have grown together again");

        int Units(int bytes) => (bytes + 63) / 64;

        void Mark(RingSlot slot, int bytes, bool value)
        {
            var first = (int)((slot.Offset - Offset) / 64);
            for (var unit = first; unit < first + Units(bytes); unit++)
            {
                if (used[unit] == value)
                {
                    Assert.Fail($"seed {seed}: places overlap");
                }

                used[unit] = value;
            }
        }

        int LongestFree()
        {
            var (longest, run) = (0, 0);
            foreach (var unit in used)
            {
                run = unit ? 0 : run + 1;
                longest = Math.Max(longest, run);
            }

            return longest;
        }
    }

    [Fact]
    public void Return_Twice_Throws()
    {
        var allocator = new RingAllocator(0, 4096);
        allocator.TryTake(100, out var slot).ShouldBeTrue();
        allocator.Return(slot);

        Should.Throw<InvalidOperationException>(() => allocator.Return(slot));
    }

    [Fact]
    public void Take_PartThatBeginsOutOfLine_StaysInside()
    {
        var allocator = new RingAllocator(100, 200); // 128 to 300: two units

        allocator.TryTake(128, out var slot).ShouldBeTrue();
        slot.Offset.ShouldBe(128);
        allocator.TryTake(1, out _).ShouldBeFalse();
    }

    [Fact]
    public async Task TakeAndReturn_FromManyThreads_AllComesBack()
    {
        var allocator = new RingAllocator(0, 1 << 20);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(thread => Task.Run(() =>
        {
            var random = new Random(thread);
            for (var step = 0; step < 20_000; step++)
            {
                if (allocator.TryTake(random.Next(1, 100_000), out var slot))
                {
                    allocator.Return(slot);
                }
            }
        })));

        (allocator.Places, allocator.UsedBytes).ShouldBe((0, 0L));
    }
}
