using System.Buffers;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Bytes of a ring as <see cref="Memory{T}"/>. A use after dispose throws instead of touching memory that is somebody else's by then.</summary>
internal abstract unsafe class RingMemory : MemoryManager<byte>
{
    private readonly byte* _address;
    private readonly int _length;
    private int _disposed;

    /// <param name="ring">With a reference taken for this object, which <see cref="End"/> gives back.</param>
    protected RingMemory(SharedRing ring, long offset, int length)
    {
        (Ring, Offset, _length) = (ring, offset, length);
        _address = (byte*)ring.At(offset);
    }

    public SharedRing Ring { get; }

    /// <summary>From the begin of the file.</summary>
    public long Offset { get; }

    public int Length => _length;

    public override Memory<byte> Memory => CreateMemory(_length);

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, typeof(Tensor));
        return new Span<byte>(_address, _length);
    }

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, typeof(Tensor));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)_length, nameof(elementIndex));
        return new MemoryHandle(_address + elementIndex);
    }

    public override void Unpin()
    {
        // mapped memory does not move
    }

    /// <summary>The owner's own use of the memory ends; called once.</summary>
    protected abstract void OnDisposed();

    /// <summary>Nobody needs the bytes any more.</summary>
    protected void End() => Ring.Release();

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            OnDisposed();
        }
    }
}

/// <summary>
/// A place that this side writes. Used by the tensor that owns it and by every call under way that names it; free again
/// when the last of them is done with it.
/// </summary>
internal sealed class RingPlace(RingArena arena, RingSlot slot, int length) : RingMemory(arena.Ring, slot.Offset, length)
{
    private int _uses = 1;

    public RingArena Arena { get; } = arena;

    public void AddUse() => Interlocked.Increment(ref _uses);

    public void EndUse()
    {
        if (Interlocked.Decrement(ref _uses) == 0)
        {
            Arena.Return(slot);
            End();
        }
    }

    protected override void OnDisposed() => EndUse();
}

/// <summary>A place that the other side wrote and this one reads.</summary>
internal sealed class RingView(SharedRing ring, long offset, int length, RingLoan? loan) : RingMemory(ring, offset, length)
{
    protected override void OnDisposed()
    {
        loan?.Return();
        End();
    }
}

/// <summary>The places of one answer, owed back to the sidecar together once nobody reads any of them.</summary>
internal sealed class RingLoan(int views, long bytes, ulong call, Action<ulong, long> release)
{
    private int _views = views;

    public void Return()
    {
        if (Interlocked.Decrement(ref _views) == 0)
        {
            release(call, bytes);
        }
    }
}
