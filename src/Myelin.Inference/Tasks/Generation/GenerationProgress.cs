using Myelin.Inference.Imaging;
using Myelin.Inference.Tasks.Generation.Pipeline;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>
/// Turns evaluations of the network into progress events of one job: every step one event, previews at most every
/// <see cref="PreviewEvery"/>.
/// </summary>
internal sealed class GenerationProgress(
    GenerationRequest request, LatentColours colours, int factor, IProgress<TaskProgress> sink, TimeProvider time)
{
    public static readonly TimeSpan PreviewEvery = TimeSpan.FromMilliseconds(250);

    public const int MaxPreviewBytes = 20_000;

    private const int PreviewSide = 256;

    private readonly long _started = time.GetTimestamp();
    private long? _previewed;

    /// <param name="index">The picture, from 0.</param>
    /// <param name="step">Its evaluation. Samplers that evaluate more often than asked steps report the step they are in.</param>
    public void Report(int index, GenerationStep step)
    {
        // With strength below 1 the first steps do not run.
        var steps = Math.Min(step.Total, request.Strength < 1 ? Math.Max((int)(request.Steps * request.Strength), 1) : request.Steps);
        var done = (index * steps) + (int)Math.Ceiling((double)step.Done * steps / step.Total);
        var evaluations = ((double)index * step.Total) + step.Done;
        var perStep = time.GetElapsedTime(_started).TotalSeconds / evaluations * step.Total / steps;
        sink.Report(new TaskProgress(done, steps * request.Count, perStep, Preview(step)));
    }

    private ReadOnlyMemory<byte>? Preview(GenerationStep step)
    {
        if (_previewed is { } last && time.GetElapsedTime(last) < PreviewEvery)
        {
            return null;
        }

        _previewed = time.GetTimestamp();
        var (width, height) = (request.Width / factor, request.Height / factor);
        var scale = Math.Clamp(PreviewSide / Math.Max(width, height), 1, factor);
        var pixels = Enlarge(colours.Paint(step.Latent.Span), width, height, scale);
        foreach (var quality in (ReadOnlySpan<int>)[75, 50, 25, 5])
        {
            var jpeg = PictureEncoder.Encode(pixels, width * scale, height * scale, PictureFormat.Jpeg, quality);
            if (jpeg.Length <= MaxPreviewBytes)
            {
                return jpeg;
            }
        }

        return null; // A latent so large that even a poor JPEG of it is too much.
    }

    /// <summary>Bilinear, so that cells do not show as blocks.</summary>
    private static byte[] Enlarge(byte[] pixels, int width, int height, int scale)
    {
        if (scale == 1)
        {
            return pixels;
        }

        var (wide, high) = (width * scale, height * scale);
        var large = new byte[wide * high * 3];
        for (var y = 0; y < high; y++)
        {
            var (y0, y1, fy) = Between(y, scale, height);
            for (var x = 0; x < wide; x++)
            {
                var (x0, x1, fx) = Between(x, scale, width);
                for (var c = 0; c < 3; c++)
                {
                    var top = pixels[(((y0 * width) + x0) * 3) + c] * (1 - fx) + (pixels[(((y0 * width) + x1) * 3) + c] * fx);
                    var bottom = pixels[(((y1 * width) + x0) * 3) + c] * (1 - fx) + (pixels[(((y1 * width) + x1) * 3) + c] * fx);
                    large[(((y * wide) + x) * 3) + c] = (byte)((top * (1 - fy)) + (bottom * fy));
                }
            }
        }

        return large;
    }

    private static (int Low, int High, float Part) Between(int at, int scale, int count)
    {
        var position = Math.Clamp(((at + 0.5f) / scale) - 0.5f, 0, count - 1);
        var low = (int)position;
        return (low, Math.Min(low + 1, count - 1), position - low);
    }
}
