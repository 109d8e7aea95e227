using NetVips;

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
    public static PictureHeader Read(ReadOnlyMemory<byte> bytes, ImagingLimits limits, string field = "input.image")
    {
        var format = CheckBytes(bytes.Span, limits, field);
        return Read(new PictureLoader(bytes, format, field), limits);
    }

    internal static PictureHeader Read(in PictureLoader loader, ImagingLimits limits)
    {
        try
        {
            return Open(loader, limits);
        }
        catch (VipsException)
        {
            throw loader.Damaged();
        }
    }

    /// <summary>The same for who only wants to know; null where it would be refused, and nobody finds out why.</summary>
    internal static PictureHeader? Find(ReadOnlyMemory<byte> bytes, ImagingLimits limits)
    {
        try
        {
            return Open(new PictureLoader(bytes, CheckBytes(bytes.Span, limits, field: ""), field: ""), limits);
        }
        catch (Exception refusal) when (refusal is InputException or VipsException)
        {
            return null;
        }
    }

    private static PictureHeader Open(in PictureLoader loader, ImagingLimits limits)
    {
        var image = loader.Open(sequential: true, shrink: 1, out var source);
        using (source)
        using (image)
        {
            return Check(image, loader.Format, limits, loader.Field);
        }
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

    private static PictureHeader Check(Image image, PictureFormat format, ImagingLimits limits, string field)
    {
        var header = new PictureHeader(
            format, image.Width, image.Height, Math.Max(1, Number(image, "n-pages")), Math.Clamp(Number(image, "orientation"), 1, 8));
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

    private static int Number(Image image, string field) => image.Contains(field) && image.Get(field) is int number ? number : 1;
}
