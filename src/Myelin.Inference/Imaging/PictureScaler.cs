using Myelin.Inference.Imaging.Vips;
using NetVips;

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
    public static ScaledPixels Scale(Picture picture, PictureFit fit, int targetWidth, int targetHeight)
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

        try
        {
            using var image = PictureEncoder.View(picture.Pixels, picture.Width, picture.Height);
            using var scaled = image.ThumbnailImage(width, height: height, size: Enums.Size.Force, noRotate: true);

            // Lazy: only what the window needs is computed.
            using var cut = whole ? null : scaled.ExtractArea(window.X - fit.OffsetX, window.Y - fit.OffsetY, window.Width, window.Height);
            var buffer = VipsBuffer.Compute(cut ?? scaled);
            return new ScaledPixels(buffer.Memory, buffer);
        }
        catch (VipsException)
        {
            throw VipsLibrary.Fault("scaling");
        }
    }
}

/// <param name="Pixels">RGB, interleaved, as wide as the window.</param>
/// <param name="Owner">Null where the pixels are the picture's own.</param>
internal readonly record struct ScaledPixels(ReadOnlyMemory<byte> Pixels, IDisposable? Owner) : IDisposable
{
    public void Dispose() => Owner?.Dispose();
}
