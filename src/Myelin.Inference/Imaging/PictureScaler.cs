using Myelin.Inference.Imaging.Vips;
using Myelin.Inference.Tasks;

namespace Myelin.Inference.Imaging;

/// <summary>Resamples whole pictures with libvips: block shrink and Lanczos down, bicubic up.</summary>
internal static class PictureScaler
{
    /// <summary>More is not scaled to, even where a crop needs only the middle of it.</summary>
    private const int MaxScaledSide = 1_000_000;

    /// <summary>
    /// The part of the scaled picture that the network sees. The caller disposes the result; where nothing is scaled
    /// or cut it shares the picture's pixels.
    /// </summary>
    /// <exception cref="InputException">The picture is so narrow that a crop of it would be scaled beyond all measure.</exception>
    public static unsafe ScaledPixels Scale(Picture picture, PictureFit fit, int targetWidth, int targetHeight)
    {
        var (width, height) = (fit.ScaledWidth, fit.ScaledHeight);
        var window = fit.Window(targetWidth, targetHeight);
        var whole = window.Width == width && window.Height == height;
        if (whole && picture.Width == width && picture.Height == height)
        {
            return new ScaledPixels(picture.Pixels, null);
        }

        if (width > MaxScaledSide || height > MaxScaledSide)
        {
            throw new InputException("input.image", $"the picture of {picture.OriginalWidth}×{picture.OriginalHeight} is too narrow for this model; cut it to what matters");
        }

        using var pin = picture.Pixels.Pin();
        using var raw = VipsNative.FromMemory((byte*)pin.Pointer, (nuint)picture.Pixels.Length, picture.Width, picture.Height, 3, VipsNative.FormatUChar);
        using var image = PictureEncoder.Checked(VipsNative.Copy(raw, out var copy, "interpretation", VipsNative.InterpretationSRgb, 0), copy);
        using var scaled = PictureEncoder.Checked(
            VipsNative.Thumbnail(image, out var result, width, "height", height, "size", VipsNative.SizeForce, "no_rotate", 1, 0), result);

        // Lazy: only what the window needs is computed.
        using var cut = whole ? null : PictureEncoder.Checked(
            VipsNative.ExtractArea(scaled, out var part, window.X - fit.OffsetX, window.Y - fit.OffsetY, window.Width, window.Height, 0), part);
        var pixels = VipsNative.WriteToMemory(cut ?? scaled, out var length);
        if (pixels == null)
        {
            throw new InvalidOperationException("scaling failed: " + VipsLibrary.TakeError());
        }

        var buffer = new VipsBuffer(pixels, checked((int)length));
        return new ScaledPixels(buffer.Memory, buffer);
    }
}

/// <param name="Pixels">RGB, interleaved, as wide as the window.</param>
/// <param name="Owner">Null where the pixels are the picture's own.</param>
internal readonly record struct ScaledPixels(ReadOnlyMemory<byte> Pixels, IDisposable? Owner) : IDisposable
{
    public void Dispose() => Owner?.Dispose();
}
