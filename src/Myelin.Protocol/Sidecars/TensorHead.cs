using System.Buffers.Binary;

namespace Myelin.Protocol.Sidecars;

/// <summary>Where a tensor's bytes are.</summary>
public enum TensorPlace : byte
{
    /// <summary>In the call's DATA frames; offsets count from their first byte.</summary>
    Inline = 0,

    /// <summary>In the file that both sides map; offsets count from its first byte.</summary>
    Ring = 1,
}

/// <summary>One tensor of a head that has been checked; a view of the frame's bytes.</summary>
public readonly ref struct TensorHead
{
    /// <summary>Bytes before the dimensions.</summary>
    public const int FixedBytes = 24;

    private readonly ReadOnlySpan<byte> _dimensions;

    internal TensorHead(ReadOnlySpan<byte> source)
    {
        Type = (ElementType)(source[1] - 1);
        Place = (TensorPlace)source[3];
        Offset = BinaryPrimitives.ReadInt64LittleEndian(source[8..]);
        Bytes = BinaryPrimitives.ReadInt64LittleEndian(source[16..]);
        _dimensions = source.Slice(FixedBytes, 8 * source[2]);
        Name = source.Slice(FixedBytes + _dimensions.Length, source[0]);
    }

    /// <summary>UTF-8.</summary>
    public ReadOnlySpan<byte> Name { get; }

    public ElementType Type { get; }

    public TensorPlace Place { get; }

    public long Offset { get; }

    public long Bytes { get; }

    public int Rank => _dimensions.Length / 8;

    public long[] Shape()
    {
        if (_dimensions.IsEmpty)
        {
            return [];
        }

        var shape = new long[Rank];
        for (var i = 0; i < shape.Length; i++)
        {
            shape[i] = BinaryPrimitives.ReadInt64LittleEndian(_dimensions[(8 * i)..]);
        }

        return shape;
    }

    /// <summary>Bytes of one tensor in a head: fixed part, dimensions, name, zeros up to a multiple of 8.</summary>
    public static int Size(int nameBytes, int rank) => (FixedBytes + (8 * rank) + nameBytes + 7) & -8;
}
