using System.Buffers;
using NetVips;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>Pixels in memory that libvips allocated, owned here and seen without a copy.</summary>
internal sealed unsafe class VipsBuffer : MemoryManager<byte>
{
    private readonly int _length;
    private nint _pointer;

    private VipsBuffer(nint pointer, int length) => (_pointer, _length) = (pointer, length);

    /// <summary>Computes the image's pixels.</summary>
    /// <exception cref="VipsException">A step of the pipeline failed.</exception>
    public static VipsBuffer Compute(Image image)
    {
        var pointer = image.WriteToMemory(out var length);
        return new VipsBuffer(pointer, checked((int)length));
    }

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_pointer == 0, this);
        return new Span<byte>((byte*)_pointer, _length);
    }

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ObjectDisposedException.ThrowIf(_pointer == 0, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)_length);
        return new MemoryHandle((byte*)_pointer + elementIndex, default, this);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _pointer, 0) is var owned && owned != 0)
        {
            NetVips.NetVips.Free(owned);
        }
    }
}
