using System.Buffers.Binary;

namespace Myelin.Inference.Runtimes;

/// <summary>The elements of a BYTES tensor: each a little-endian u32 length and that many bytes, without gaps.</summary>
internal static class ElementsOfBytes
{
    /// <summary>Takes the next element off <paramref name="rest"/>; false where it runs past the end.</summary>
    public static bool TryTake(ref ReadOnlySpan<byte> rest, out ReadOnlySpan<byte> element)
    {
        element = default;
        if (rest.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(rest) is var length && length > rest.Length - 4)
        {
            return false;
        }

        element = rest.Slice(4, (int)length);
        rest = rest[(4 + element.Length)..];
        return true;
    }

    /// <summary>Exactly <paramref name="count"/> elements fill exactly these bytes.</summary>
    public static bool Fill(ReadOnlySpan<byte> bytes, long count)
    {
        for (; count > 0; count--)
        {
            if (!TryTake(ref bytes, out _))
            {
                return false;
            }
        }

        return bytes.IsEmpty;
    }
}
