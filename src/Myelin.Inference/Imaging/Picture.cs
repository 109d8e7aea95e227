using Myelin.Inference.Imaging.Vips;
using Myelin.Inference.Tasks;

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
    /// <exception cref="InputException">No picture, a format that is not read, damaged, or too large.</exception>
    public static unsafe Picture Decode(
        ReadOnlyMemory<byte> bytes, ImagingLimits limits, string field = "input.image", (int Width, int Height)? enough = null)
    {
        var format = PictureHeader.CheckBytes(bytes.Span, limits, field);
        using var pin = bytes.Pin();
        var pointer = (byte*)pin.Pointer;
        PictureHeader header;
        using (var probe = PictureLoader.Open(pointer, bytes.Length, format, sequential: true, shrink: 1, field))
        {
            header = PictureHeader.Check(probe, format, limits, field);
        }

        // Turning reads columns, so a turned picture cannot stream through.
        var shrink = enough is { } size ? ShrinkFor(header, size) : 1;
        using var image = PictureLoader.Open(pointer, bytes.Length, format, sequential: header.Orientation == 1, shrink, field);
        return Read(image, header, field);
    }

    public void Dispose() => _owner.Dispose();

    private static int ShrinkFor(PictureHeader header, (int Width, int Height) enough)
    {
        var factor = Math.Min((double)header.OrientedWidth / enough.Width, (double)header.OrientedHeight / enough.Height);
        return header.Format != PictureFormat.Jpeg ? 1 : factor switch { >= 8 => 8, >= 4 => 4, >= 2 => 2, _ => 1 };
    }

    private static unsafe Picture Read(VipsImage image, PictureHeader header, string field)
    {
        using var turned = header.Orientation == 1 ? null : Step(VipsNative.AutoRotate(image, out var result, 0), result, header, field);
        using var colour = ToSRgb(turned ?? image, header, field);
        using var opaque = VipsNative.HasAlpha(colour) == 0 ? null : Flatten(colour, header, field);
        var final = opaque ?? colour;
        if (VipsNative.Bands(final) != 3 || VipsNative.Format(final) != VipsNative.FormatUChar)
        {
            throw new InputException(field, "the picture's colour layout is not supported; save it as ordinary RGB");
        }

        var (width, height) = (VipsNative.Width(final), VipsNative.Height(final));
        var pixels = VipsNative.WriteToMemory(final, out var length);
        if (pixels == null)
        {
            throw PictureLoader.Damaged(header.Format, field);
        }

        var buffer = new VipsBuffer(pixels, checked((int)length));
        return new Picture(width, height, header.OrientedWidth, header.OrientedHeight, buffer.Memory, buffer);
    }

    private static VipsImage ToSRgb(VipsImage image, PictureHeader header, string field)
    {
        const string profile = "icc-profile-data";
        if (VipsNative.TypeOf(image, profile) != 0 && !IsSRgb(image, profile))
        {
            if (VipsNative.IccTransform(image, out var managed, "srgb", "embedded", 1, 0) == 0)
            {
                using (managed)
                {
                    return Step(VipsNative.ColourSpace(managed, out var same, VipsNative.InterpretationSRgb, 0), same, header, field);
                }
            }

            managed.Dispose();
            _ = VipsLibrary.TakeError(); // a broken profile: the plain conversion below is what viewers show
        }

        return Step(VipsNative.ColourSpace(image, out var converted, VipsNative.InterpretationSRgb, 0), converted, header, field);
    }

    // Most photographs carry sRGB's own profile; converting to what they already are costs more than the decode.
    private static unsafe bool IsSRgb(VipsImage image, string profile) =>
        VipsNative.Interpretation(image) == VipsNative.InterpretationSRgb
        && VipsNative.GetBlob(image, profile, out var bytes, out var length) == 0
        && length < 16_384
        && new ReadOnlySpan<byte>(bytes, (int)length) is var blob
        && (blob.IndexOf("sRGB"u8) >= 0 || blob.IndexOf("s\0R\0G\0B"u8) >= 0);

    private static unsafe VipsImage Flatten(VipsImage image, PictureHeader header, string field)
    {
        var white = stackalloc double[] { 255, 255, 255 };
        var background = VipsNative.NewDoubles(white, 3);
        try
        {
            return Step(VipsNative.Flatten(image, out var result, "background", background, 0), result, header, field);
        }
        finally
        {
            VipsNative.UnrefArea(background);
        }
    }

    private static VipsImage Step(int code, VipsImage result, PictureHeader header, string field)
    {
        if (code == 0)
        {
            return result;
        }

        result.Dispose();
        throw PictureLoader.Damaged(header.Format, field);
    }
}
