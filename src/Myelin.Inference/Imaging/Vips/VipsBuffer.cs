using System.Buffers;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>Memory that libvips allocated, owned here: pixels or an encoded file, seen without a copy.</summary>
internal sealed unsafe class VipsBuffer(byte* pointer, int length) : MemoryManager<byte>
{
    private nint _pointer = (nint)pointer;

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_pointer == 0, this);
        return new Span<byte>((byte*)_pointer, length);
    }

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ObjectDisposedException.ThrowIf(_pointer == 0, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)length);
        return new MemoryHandle((byte*)_pointer + elementIndex, default, this);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _pointer, 0) is var owned && owned != 0)
        {
            VipsNative.Free(owned);
        }
    }
}
