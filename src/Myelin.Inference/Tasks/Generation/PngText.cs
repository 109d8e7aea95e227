using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>Text in PNG files: a <c>tEXt</c> chunk where Latin-1 holds it, otherwise <c>iTXt</c> in UTF-8 (PNG specification, 11.3.4).</summary>
internal static class PngText
{
    private const int AfterHeader = 8 + 25; // Signature, and IHDR with its length, type and checksum.

    /// <summary>The file with the text after its header.</summary>
    public static byte[] Insert(ReadOnlySpan<byte> png, string keyword, string text)
    {
        var plain = text.All(c => c is '\n' or (>= ' ' and <= '~') or (>= '\u00A0' and <= '\u00FF'));
        byte[] content = plain
            ? [.. Encoding.Latin1.GetBytes(keyword), 0, .. Encoding.Latin1.GetBytes(text)]
            : [.. Encoding.Latin1.GetBytes(keyword), 0, 0, 0, 0, 0, .. Encoding.UTF8.GetBytes(text)];
        var chunk = new byte[content.Length + 12];
        BinaryPrimitives.WriteInt32BigEndian(chunk, content.Length);
        (plain ? "tEXt"u8 : "iTXt"u8).CopyTo(chunk.AsSpan(4));
        content.CopyTo(chunk, 8);
        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(chunk.Length - 4), Crc32.HashToUInt32(chunk.AsSpan(4, content.Length + 4)));
        return [.. png[..AfterHeader], .. chunk, .. png[AfterHeader..]];
    }
}
