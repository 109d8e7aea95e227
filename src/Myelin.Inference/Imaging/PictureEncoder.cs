using System.Globalization;
using Myelin.Inference.Imaging.Vips;

namespace Myelin.Inference.Imaging;

/// <summary>RGB pixels → a file's bytes.</summary>
public static class PictureEncoder
{
    /// <param name="pixels">RGB, interleaved, <paramref name="width"/> × <paramref name="height"/> × 3 bytes.</param>
    /// <param name="width">Pixels.</param>
    /// <param name="height">Pixels.</param>
    /// <param name="format">JPEG, PNG or WebP.</param>
    /// <param name="quality">1..100; PNG has none.</param>
    public static unsafe byte[] Encode(ReadOnlyMemory<byte> pixels, int width, int height, PictureFormat format, int quality = 90)
    {
        VipsLibrary.Initialise();
        ArgumentOutOfRangeException.ThrowIfNotEqual(pixels.Length, width * height * 3, nameof(pixels));
        using var pin = pixels.Pin();
        using var raw = VipsNative.FromMemory((byte*)pin.Pointer, (nuint)pixels.Length, width, height, 3, VipsNative.FormatUChar);
        using var image = Checked(VipsNative.Copy(raw, out var copy, "interpretation", VipsNative.InterpretationSRgb, 0), copy);
        return Encode(image, format, quality);
    }

    internal static unsafe byte[] Encode(VipsImage image, PictureFormat format, int quality)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(quality, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(quality, 100);
        var suffix = format switch
        {
            PictureFormat.Jpeg => string.Create(CultureInfo.InvariantCulture, $".jpg[Q={quality},keep=none]"),
            PictureFormat.Png => ".png[compression=4,keep=none]",
            PictureFormat.WebP => string.Create(CultureInfo.InvariantCulture, $".webp[Q={quality},keep=none]"),
            _ => throw new ArgumentOutOfRangeException(nameof(format), format, "is read, but not written"),
        };
        if (VipsNative.WriteToBuffer(image, suffix, out var bytes, out var length, 0) != 0)
        {
            throw new InvalidOperationException("encoding failed: " + VipsLibrary.TakeError());
        }

        using var buffer = new VipsBuffer(bytes, checked((int)length)) as IDisposable;
        return new ReadOnlySpan<byte>(bytes, (int)length).ToArray();
    }

    internal static VipsImage Checked(int code, VipsImage result)
    {
        if (code == 0)
        {
            return result;
        }

        result.Dispose();
        throw new InvalidOperationException("imaging failed: " + VipsLibrary.TakeError());
    }
}
