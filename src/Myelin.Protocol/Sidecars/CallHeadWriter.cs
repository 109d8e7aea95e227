using System.Buffers.Binary;
using System.Text;

namespace Myelin.Protocol.Sidecars;

/// <summary>Writes a head into bytes that the caller has measured with <see cref="TensorHead.Size"/>.</summary>
public ref struct CallHeadWriter
{
    private readonly Span<byte> _destination;

    public CallHeadWriter(Span<byte> destination, int model, int tensors, int parameterBytes, ulong time, ulong inline)
    {
        _destination = destination;
        BinaryPrimitives.WriteUInt16LittleEndian(destination, (ushort)model);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[2..], (ushort)tensors);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[4..], (uint)parameterBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[8..], time);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[16..], inline);
        Written = CallHead.FixedBytes;
    }

    public int Written { get; private set; }

    public void Tensor(string name, ElementType type, ReadOnlySpan<long> shape, TensorPlace place, long offset, long bytes)
    {
        var at = _destination[Written..];
        var dimensions = TensorHead.FixedBytes + (8 * shape.Length);
        var nameBytes = Encoding.UTF8.GetBytes(name, at[dimensions..]);
        BinaryPrimitives.WriteUInt64LittleEndian(at, (uint)nameBytes | ((uint)type + 1) << 8 | (uint)shape.Length << 16 | (uint)place << 24);
        BinaryPrimitives.WriteInt64LittleEndian(at[8..], offset);
        BinaryPrimitives.WriteInt64LittleEndian(at[16..], bytes);
        for (var i = 0; i < shape.Length; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(at[(TensorHead.FixedBytes + (8 * i))..], shape[i]);
        }

        var size = TensorHead.Size(nameBytes, shape.Length);
        at[(dimensions + nameBytes)..size].Clear();
        Written += size;
    }

    public void Parameters(ReadOnlySpan<byte> json)
    {
        json.CopyTo(_destination[Written..]);
        Written += json.Length;
    }
}
