using System.Buffers;
using Microsoft.ML.OnnxRuntime;

namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>
/// An output as the runtime allocated it, seen as <see cref="Memory{T}"/> without a copy. Disposing gives the buffer
/// back to the runtime; who still holds the memory then gets an exception, not freed bytes.
/// </summary>
internal sealed unsafe class NativeTensorMemory : MemoryManager<byte>
{
    private readonly byte* _pointer;
    private readonly int _length;
    private OrtValue? _value;

    public NativeTensorMemory(OrtValue value)
    {
        var bytes = value.GetTensorMutableRawData();
        _length = bytes.Length;
        fixed (byte* pointer = bytes)
        {
            _pointer = pointer; // native memory: it does not move
        }

        _value = value;
    }

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_value is null, this);
        return new Span<byte>(_pointer, _length);
    }

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ObjectDisposedException.ThrowIf(_value is null, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)_length);
        return new MemoryHandle(_pointer + elementIndex, default, this);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing) => Interlocked.Exchange(ref _value, null)?.Dispose();
}
