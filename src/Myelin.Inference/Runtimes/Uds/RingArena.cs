using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>This side's part of a ring: hands out places, and lets those who find none wait a short while. Safe for concurrent use.</summary>
internal sealed class RingArena(SharedRing ring, RingPart part)
{
    private readonly RingAllocator _allocator = new(part.Offset, part.Bytes);
    private TaskCompletionSource? _returned;

    public SharedRing Ring { get; } = ring;

    public long Bytes { get; } = part.Bytes;

    /// <summary>Places in use; 0 when nothing has leaked and nothing runs.</summary>
    public int Places => _allocator.Places;

    public long UsedBytes => _allocator.UsedBytes;

    /// <summary>A place, or null where none is free now or the ring's connection has ended.</summary>
    public RingPlace? TryRent(long bytes)
    {
        if (bytes > Bytes || !Ring.TryAddReference())
        {
            return null;
        }

        if (_allocator.TryTake(bytes, out var slot))
        {
            return new RingPlace(this, slot, (int)bytes);
        }

        Ring.Release();
        return null;
    }

    /// <summary>A place, as soon as one is free.</summary>
    /// <returns>Null after <paramref name="patience"/>, or at once where no place could ever be large enough.</returns>
    public async ValueTask<RingPlace?> RentAsync(long bytes, TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        if (bytes > Bytes)
        {
            return null;
        }

        var start = time.GetTimestamp();
        while (true)
        {
            // Taken before the look, so that a place returned in between ends the wait.
            var returned = Volatile.Read(ref _returned);
            if (returned is null)
            {
                var fresh = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                returned = Interlocked.CompareExchange(ref _returned, fresh, null) ?? fresh;
            }

            if (TryRent(bytes) is { } place)
            {
                return place;
            }

            var left = patience - time.GetElapsedTime(start);
            if (left <= TimeSpan.Zero)
            {
                return null;
            }

            await returned.Task.WaitAsync(left, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    public void Return(RingSlot slot)
    {
        _allocator.Return(slot);
        Interlocked.Exchange(ref _returned, null)?.TrySetResult();
    }
}
