using Myelin.Inference.Imaging.Vips;
using Myelin.Inference.Tasks;

namespace Myelin.Inference.Imaging;

/// <summary>What the first bytes of a picture say, read before anything is decoded.</summary>
/// <param name="Format">By content, not by name.</param>
/// <param name="Width">Stored width in pixels, before the EXIF orientation.</param>
/// <param name="Height">Stored height in pixels.</param>
/// <param name="Frames">Frames or pages; the first is used.</param>
/// <param name="Orientation">EXIF orientation 1..8.</param>
public sealed record PictureHeader(PictureFormat Format, int Width, int Height, int Frames, int Orientation)
{
    /// <summary>Width as a person sees it, the EXIF orientation applied.</summary>
    public int OrientedWidth => Orientation >= 5 ? Height : Width;

    /// <summary>Height as a person sees it.</summary>
    public int OrientedHeight => Orientation >= 5 ? Width : Height;

    /// <summary>Reads the header and checks it against <paramref name="limits"/>.</summary>
    /// <exception cref="InputException">No picture, a format that is not read, damaged, or too large.</exception>
    public static unsafe PictureHeader Read(ReadOnlyMemory<byte> bytes, ImagingLimits limits, string field = "input.image")
    {
        var format = CheckBytes(bytes.Span, limits, field);
        using var pin = bytes.Pin();
        using var image = PictureLoader.Open((byte*)pin.Pointer, bytes.Length, format, sequential: true, shrink: 1, field);
        return Check(image, format, limits, field);
    }

    internal static PictureFormat CheckBytes(ReadOnlySpan<byte> bytes, ImagingLimits limits, string field)
    {
        if (bytes.IsEmpty)
        {
            throw new InputException(field, "the picture is empty");
        }

        if (bytes.Length > limits.MaxBytes)
        {
            throw new InputException(field, $"the picture has {bytes.Length} bytes; the limit is {limits.MaxBytes}", InputErrorCode.TooLarge);
        }

        return PictureFormats.Sniff(bytes)
            ?? throw new InputException(field, "this is no picture that can be read; send JPEG, PNG, WebP, AVIF, GIF or TIFF", InputErrorCode.UnsupportedMediaType);
    }

    internal static PictureHeader Check(VipsImage image, PictureFormat format, ImagingLimits limits, string field)
    {
        var header = new PictureHeader(
            format, VipsNative.Width(image), VipsNative.Height(image), Math.Max(1, VipsNative.Pages(image)), Math.Clamp(VipsNative.Orientation(image), 1, 8));
        if (header.Width > limits.MaxSide || header.Height > limits.MaxSide)
        {
            throw new InputException(field, $"the picture is {header.Width}×{header.Height}; no side may be longer than {limits.MaxSide} pixels", InputErrorCode.TooLarge);
        }

        var megapixels = (double)header.Width * header.Height / 1e6;
        if (megapixels > limits.MaxMegapixels)
        {
            throw new InputException(
                field,
                FormattableString.Invariant($"the picture is {header.Width}×{header.Height}, {megapixels:0.0} megapixels; the limit is {limits.MaxMegapixels:0.##}"),
                InputErrorCode.TooLarge);
        }

        if (header.Frames > limits.MaxFrames)
        {
            throw new InputException(field, $"the picture has {header.Frames} frames; the limit is {limits.MaxFrames}", InputErrorCode.TooLarge);
        }

        return header;
    }
}
