using System.Globalization;
using Myelin.Inference.Imaging.Vips;
using NetVips;

namespace Myelin.Inference.Imaging;

/// <summary>RGB pixels → a file's bytes.</summary>
public static class PictureEncoder
{
    /// <param name="pixels">RGB, interleaved, <paramref name="width"/> × <paramref name="height"/> × 3 bytes.</param>
    /// <param name="width">Pixels.</param>
    /// <param name="height">Pixels.</param>
    /// <param name="format">JPEG, PNG or WebP.</param>
    /// <param name="quality">1..100; PNG has none.</param>
    public static byte[] Encode(ReadOnlyMemory<byte> pixels, int width, int height, PictureFormat format, int quality = 90)
    {
        VipsLibrary.Initialise();
        ArgumentOutOfRangeException.ThrowIfNotEqual(pixels.Length, width * height * 3, nameof(pixels));
        ArgumentOutOfRangeException.ThrowIfLessThan(quality, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(quality, 100);
        var suffix = format switch
        {
            PictureFormat.Jpeg => string.Create(CultureInfo.InvariantCulture, $".jpg[Q={quality},keep=none]"),
            PictureFormat.Png => ".png[compression=4,keep=none]",
            PictureFormat.WebP => string.Create(CultureInfo.InvariantCulture, $".webp[Q={quality},keep=none]"),
            _ => throw new ArgumentOutOfRangeException(nameof(format), format, "is read, but not written"),
        };
        try
        {
            using var image = View(pixels, width, height);
            return image.WriteToBuffer(suffix);
        }
        catch (VipsException)
        {
            throw VipsLibrary.Fault("encoding");
        }
    }

    /// <summary>RGB pixels as an image, not copied: they stay pinned until it is disposed.</summary>
    internal static Image View(ReadOnlyMemory<byte> pixels, int width, int height)
    {
        VipsLibrary.Initialise();
        using var raw = Image.NewFromMemory(pixels, width, height, 3, Enums.BandFormat.Uchar);
        return raw.Copy(interpretation: Enums.Interpretation.Srgb);
    }
}
