using System.Buffers.Binary;
using System.Text.Unicode;

namespace Myelin.Protocol.Sidecars;

/// <summary>Checks the tensors of one head, one after the other, before any of their numbers is used.</summary>
internal ref struct TensorCheck(ulong inline, RingPart? part)
{
    private ulong _inlineEnd;
    private ulong _ring;

    /// <summary>The announced inline bytes and the ring bytes so far; the largest number where that is more.</summary>
    public readonly ulong Total => inline > ulong.MaxValue - _ring ? ulong.MaxValue : inline + _ring;

    /// <summary>Checks the tensor at <paramref name="at"/>.</summary>
    /// <returns>Its bytes in the head.</returns>
    /// <exception cref="BadFrameException">It breaks a rule.</exception>
    public int Next(ReadOnlySpan<byte> head, int at, int index)
    {
        var tensor = head[at..];
        if (tensor.Length < TensorHead.FixedBytes)
        {
            throw Bad(index, "is cut off");
        }

        int nameBytes = tensor[0], type = tensor[1], rank = tensor[2];
        if (nameBytes == 0 || type is 0 or > (int)ElementType.Bytes + 1 || rank > SidecarLimits.Rank
            || tensor[3] > (byte)TensorPlace.Ring || BinaryPrimitives.ReadUInt32LittleEndian(tensor[4..]) != 0)
        {
            throw Bad(index, $"has a name of {nameBytes} bytes, type {type}, rank {rank}, place {tensor[3]}, or a bit set that must be 0");
        }

        var size = TensorHead.Size(nameBytes, rank);
        if (tensor.Length < size)
        {
            throw Bad(index, "is cut off");
        }

        var name = tensor.Slice(TensorHead.FixedBytes + (8 * rank), nameBytes);
        var padding = tensor[(TensorHead.FixedBytes + (8 * rank) + nameBytes)..size];
        if (!Utf8.IsValid(name) || padding.ContainsAnyExcept((byte)0))
        {
            throw Bad(index, "has a name that is no UTF-8 or is not filled up with zeros");
        }

        var others = new CallHead.Enumerator(head[CallHead.FixedBytes..at], index);
        while (others.MoveNext())
        {
            if (others.Current.Name.SequenceEqual(name))
            {
                throw Bad(index, "has the name of another");
            }
        }

        var offset = BinaryPrimitives.ReadUInt64LittleEndian(tensor[8..]);
        var bytes = BinaryPrimitives.ReadUInt64LittleEndian(tensor[16..]);
        Bytes(tensor.Slice(TensorHead.FixedBytes, 8 * rank), (ElementType)(type - 1), bytes, index);
        Place((TensorPlace)tensor[3], offset, bytes, index);
        return size;
    }

    private static void Bytes(ReadOnlySpan<byte> dimensions, ElementType type, ulong bytes, int index)
    {
        var elements = (UInt128)1;
        for (var i = 0; i < dimensions.Length; i += 8)
        {
            elements *= BinaryPrimitives.ReadUInt64LittleEndian(dimensions[i..]);
            if (elements > long.MaxValue || BinaryPrimitives.ReadInt64LittleEndian(dimensions[i..]) < 0)
            {
                throw Bad(index, "has more elements than 2⁶³−1");
            }
        }

        var size = type.Size();
        var fits = size != 0 ? elements * (uint)size == bytes : bytes <= long.MaxValue && (elements == 0 ? bytes == 0 : bytes >= elements * 4);
        if (!fits)
        {
            throw Bad(index, $"has {elements} elements of {type.WireName()} and {bytes} bytes");
        }
    }

    private void Place(TensorPlace place, ulong offset, ulong bytes, int index)
    {
        if (bytes == 0)
        {
            if (place != TensorPlace.Inline || offset != 0)
            {
                throw Bad(index, "has 0 bytes and is not inline at offset 0");
            }

            return;
        }

        if (offset % SidecarLimits.Alignment != 0)
        {
            throw Bad(index, $"has offset {offset}, no multiple of {SidecarLimits.Alignment}");
        }

        if (place == TensorPlace.Inline)
        {
            if (bytes > inline || offset > inline - bytes || offset < _inlineEnd)
            {
                throw Bad(index, $"is not in its place: offset {offset}, {bytes} bytes, {inline} inline in all, the one before ends at {_inlineEnd}");
            }

            _inlineEnd = offset + bytes;
            return;
        }

        if (part is null || !part.Holds(offset, bytes))
        {
            throw Bad(index, $"lies outside the sender's part of the ring: offset {offset}, {bytes} bytes");
        }

        _ring += bytes; // cannot overflow: 64 tensors, each at most as large as a file
    }

    private static BadFrameException Bad(int index, string what) => new($"tensor {index} {what}");
}
