namespace Myelin.Inference.Imaging;

/// <summary>The formats that are read. Nothing else reaches a decoder.</summary>
public enum PictureFormat
{
    Jpeg,
    Png,
    WebP,
    Avif,
    Gif,
    Tiff,
}

public static class PictureFormats
{
    /// <summary>Names the format by the first bytes; the declared content type and the file's name are not asked.</summary>
    public static PictureFormat? Sniff(ReadOnlySpan<byte> bytes) => bytes switch
    {
        [0xFF, 0xD8, 0xFF, ..] => PictureFormat.Jpeg,
        [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => PictureFormat.Png,
        [(byte)'G', (byte)'I', (byte)'F', (byte)'8', (byte)'7' or (byte)'9', (byte)'a', ..] => PictureFormat.Gif,
        [(byte)'R', (byte)'I', (byte)'F', (byte)'F', _, _, _, _, (byte)'W', (byte)'E', (byte)'B', (byte)'P', ..] => PictureFormat.WebP,
        [(byte)'I', (byte)'I', 42 or 43, 0, ..] or [(byte)'M', (byte)'M', 0, 42 or 43, ..] => PictureFormat.Tiff,
        [_, _, _, _, (byte)'f', (byte)'t', (byte)'y', (byte)'p', ..] when IsAvif(bytes) => PictureFormat.Avif,
        _ => null,
    };

    public static string ContentType(this PictureFormat format) => format switch
    {
        PictureFormat.Jpeg => "image/jpeg",
        PictureFormat.Png => "image/png",
        PictureFormat.WebP => "image/webp",
        PictureFormat.Avif => "image/avif",
        PictureFormat.Gif => "image/gif",
        _ => "image/tiff",
    };

    // The brands stand in the first box: major, minor version, then the compatible ones. HEIC shares the container
    // and is not decoded here, so one of the brands must be AV1's.
    private static bool IsAvif(ReadOnlySpan<byte> bytes)
    {
        var length = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(bytes);
        var brands = bytes[8..(int)Math.Clamp(length, 8, Math.Min(bytes.Length, 512))];
        for (var at = 0; at + 4 <= brands.Length; at += 4)
        {
            if (brands.Slice(at, 4) is [(byte)'a', (byte)'v', (byte)'i', (byte)'f' or (byte)'s'])
            {
                return true;
            }
        }

        return false;
    }
}
