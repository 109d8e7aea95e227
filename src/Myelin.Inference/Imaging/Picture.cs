using Myelin.Inference.Imaging.Vips;
using NetVips;

namespace Myelin.Inference.Imaging;

/// <summary>
/// A decoded picture: sRGB, 8 bits, red green blue interleaved, rows from the top without padding, EXIF orientation
/// applied, transparency laid on white. Owns its pixels.
/// </summary>
public sealed class Picture : IDisposable
{
    private readonly IDisposable _owner;

    internal Picture(int width, int height, int originalWidth, int originalHeight, Memory<byte> pixels, IDisposable owner)
    {
        (Width, Height, OriginalWidth, OriginalHeight, Pixels, _owner) = (width, height, originalWidth, originalHeight, pixels, owner);
    }

    /// <summary>Width of <see cref="Pixels"/>.</summary>
    public int Width { get; }

    public int Height { get; }

    /// <summary>Width of the picture as it was sent and as a person sees it; larger than <see cref="Width"/> after shrink-on-load.</summary>
    public int OriginalWidth { get; }

    public int OriginalHeight { get; }

    /// <summary><see cref="Width"/> × <see cref="Height"/> × 3 bytes.</summary>
    public Memory<byte> Pixels { get; }

    /// <summary>Checks the header, then decodes.</summary>
    /// <param name="bytes">The encoded picture.</param>
    /// <param name="limits">What it may cost.</param>
    /// <param name="field">Named by the exception.</param>
    /// <param name="enough">
    /// A size that is enough for the caller: a JPEG at least twice as large on both sides is decoded at a half, a
    /// quarter or an eighth. Null decodes all pixels.
    /// </param>
    /// <param name="known">The header of these bytes, where it was read under these limits before.</param>
    /// <exception cref="InputException">No picture, a format that is not read, damaged, or too large.</exception>
    public static Picture Decode(
        ReadOnlyMemory<byte> bytes, ImagingLimits limits, string field = "input.image", (int Width, int Height)? enough = null, PictureHeader? known = null)
    {
        var format = PictureHeader.CheckBytes(bytes.Span, limits, field);
        var loader = new PictureLoader(bytes, format, field);
        var header = known ?? PictureHeader.Read(loader, limits);

        // Turning reads columns, so a turned picture cannot stream through.
        var shrink = enough is { } size ? ShrinkFor(header, size) : 1;
        try
        {
            var image = loader.Open(sequential: header.Orientation == 1, shrink, out var source);
            using (source)
            using (image)
            {
                return Read(image, header, field);
            }
        }
        catch (VipsException)
        {
            throw loader.Damaged();
        }
    }

    public void Dispose() => _owner.Dispose();

    private static int ShrinkFor(PictureHeader header, (int Width, int Height) enough)
    {
        var factor = Math.Min((double)header.OrientedWidth / enough.Width, (double)header.OrientedHeight / enough.Height);
        return header.Format != PictureFormat.Jpeg ? 1 : factor switch { >= 8 => 8, >= 4 => 4, >= 2 => 2, _ => 1 };
    }

    private static Picture Read(Image image, PictureHeader header, string field)
    {
        using var turned = header.Orientation == 1 ? null : image.Autorot();
        using var colour = ToSRgb(turned ?? image);
        using var opaque = colour.HasAlpha() ? colour.Flatten(background: [255, 255, 255]) : null;
        var final = opaque ?? colour;
        if (final.Bands != 3 || final.Format != Enums.BandFormat.Uchar)
        {
            throw new InputException(field, "the picture's colour layout is not supported; save it as ordinary RGB");
        }

        var pixels = VipsBuffer.Compute(final);
        return new Picture(final.Width, final.Height, header.OrientedWidth, header.OrientedHeight, pixels.Memory, pixels);
    }

    private static Image ToSRgb(Image image)
    {
        const string profile = "icc-profile-data";
        if (image.Contains(profile) && !IsSRgb(image, profile))
        {
            try
            {
                using var managed = image.IccTransform("srgb", embedded: true);
                return managed.Colourspace(Enums.Interpretation.Srgb);
            }
            catch (VipsException)
            {
                // a broken profile: the plain conversion below is what viewers show
            }
        }

        return image.Colourspace(Enums.Interpretation.Srgb);
    }

    // Most photographs carry sRGB's own profile; converting to what they already are costs more than the decode.
    private static bool IsSRgb(Image image, string profile) =>
        image.Interpretation == Enums.Interpretation.Srgb
        && image.Get(profile) is byte[] { Length: < 16_384 } blob
        && (blob.AsSpan().IndexOf("sRGB"u8) >= 0 || blob.AsSpan().IndexOf("s\0R\0G\0B"u8) >= 0);
}
