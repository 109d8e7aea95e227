using System.Buffers;
using System.Numerics;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Text;

/// <summary>Finds lines of text. Stateless but for the runtime, which it does not own.</summary>
internal sealed class TextDetector(TextDetectionSettings settings, IRuntime runtime)
{
    private const int MaxSide = 8192;

    /// <summary>Pixels up to which a picture goes through the network whole, as the reference has it.</summary>
    private const int WholePixels = 3_000_000;

    /// <summary>Pixels that go through the network at a time where it is larger: strips of its full width, so that a cut runs between lines.</summary>
    private const int StripPixels = 1_250_000;

    /// <summary>Rows that a strip reads above and below what is kept of it: no line is judged without its surroundings. In steps of 32.</summary>
    private const int Margin = 96;

    /// <summary>Measured: the network's peak by the pixels that go through it.</summary>
    private const double BytesPerPixel = 500;

    /// <summary>What is wrong with the network, or null.</summary>
    public static string? Misfit(IRuntime runtime) =>
        runtime.Inputs is [{ Type: ElementType.Float32, Shape: [_, 3 or -1, -1, -1] }] && runtime.Outputs is [{ Type: ElementType.Float32 }]
            ? null
            : "the detection network must take one FP32 input [1,3,height,width] of any size and give one probability map";

    public async Task<List<Vector2[]>> FindAsync(Picture picture, CancellationToken cancellationToken)
    {
        var (width, height) = Size(picture.Width, picture.Height);
        var regions = await FindAsync(picture, width, height, cancellationToken).ConfigureAwait(false);
        var placed = new List<Vector2[]>(regions.Count);
        foreach (var region in regions)
        {
            var quad = region.Select(corner => new Vector2(
                Math.Clamp(MathF.Round(corner.X / width * picture.Width), 0, picture.Width - 1),
                Math.Clamp(MathF.Round(corner.Y / height * picture.Height), 0, picture.Height - 1))).ToArray();
            if ((int)(quad[0] - quad[1]).Length() > 3 && (int)(quad[0] - quad[3]).Length() > 3)
            {
                placed.Add(quad);
            }
        }

        return ReadingOrder(placed);
    }

    /// <summary>What finding takes at its peak for a picture of this size: one strip in the network; the scaled picture, its map and mask.</summary>
    public long MemoryOf(int pictureWidth, int pictureHeight)
    {
        var (width, height) = Size(pictureWidth, pictureHeight);
        var strip = Strips(width, height).Max(s => s.To - s.From) * (long)width;
        return (long)(strip * BytesPerPixel) + (width * (long)height * 8);
    }

    /// <summary>The picture's size for the network: no side below <c>minSide</c>, unless that is too much, in steps of 32.</summary>
    private (int Width, int Height) Size(int width, int height)
    {
        var scale = Math.Max(1, (double)settings.MinSide / Math.Min(width, height));
        scale = Math.Min(scale, Math.Sqrt(settings.MaxMegapixels * 1e6 / ((double)width * height)));
        scale = Math.Min(scale, (double)MaxSide / Math.Max(width, height));
        return (Step(width * scale), Step(height * scale));

        static int Step(double side) => Math.Max(32, (int)Math.Round(Math.Floor(side) / 32) * 32);
    }

    /// <summary>Regions in pixels of the scaled picture. Only the network works in strips: what is found lies on the whole map.</summary>
    private async Task<List<Vector2[]>> FindAsync(Picture picture, int width, int height, CancellationToken cancellationToken)
    {
        var pixels = ArrayPool<byte>.Shared.Rent(width * height * 3);
        var map = ArrayPool<float>.Shared.Rent(width * height);
        try
        {
            Bilinear.Resize(picture.Pixels.Span, picture.Width, picture.Height, pixels, width, height);
            foreach (var strip in Strips(width, height))
            {
                await MarkAsync(pixels, map, width, strip, cancellationToken).ConfigureAwait(false);
            }

            return RegionFinder.Find(map.AsSpan(0, width * height), width, height, settings);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(pixels);
            ArrayPool<float>.Shared.Return(map);
        }
    }

    /// <summary>Puts the probabilities of one strip where they belong on the map.</summary>
    private async ValueTask MarkAsync(byte[] pixels, float[] map, int width, Strip strip, CancellationToken cancellationToken)
    {
        var rows = strip.To - strip.From;
        using var tensor = runtime.Rent(runtime.Inputs[0].Name, ElementType.Float32, 1, 3, rows, width);
        TextPixels.Write(pixels.AsSpan(strip.From * width * 3, rows * width * 3), width, rows, tensor.As<float>(), width);
        using var outputs = await runtime.InferAsync([tensor], cancellationToken).ConfigureAwait(false);
        var marked = outputs[0].As<float>();
        if (marked.Length != width * rows)
        {
            throw new RuntimeException($"the detection network gave {marked.Length} probabilities for {width}×{rows} pixels", retryable: false);
        }

        marked[((strip.KeepFrom - strip.From) * width)..((strip.KeepTo - strip.From) * width)].CopyTo(map.AsSpan(strip.KeepFrom * width));
    }

    private static IEnumerable<Strip> Strips(int width, int height)
    {
        var most = Math.Max(StripPixels / width / 32 * 32, 4 * Margin);
        if ((long)width * height <= WholePixels || height <= most)
        {
            yield return new Strip(0, height, 0, height);
            yield break;
        }

        for (var from = 0; from < height; from += most - (2 * Margin))
        {
            var to = Math.Min(from + most - (2 * Margin), height);
            yield return new Strip(Math.Max(0, from - Margin), Math.Min(height, to + Margin), from, to);
        }
    }

    /// <summary>From top to bottom; what lies within ten pixels of the same height goes from left to right.</summary>
    private static List<Vector2[]> ReadingOrder(List<Vector2[]> quads)
    {
        var ordered = quads.OrderBy(quad => quad[0].Y).ThenBy(quad => quad[0].X).ToList();
        for (var index = 1; index < ordered.Count; index++)
        {
            for (var at = index; at > 0 && Math.Abs(ordered[at][0].Y - ordered[at - 1][0].Y) < 10 && ordered[at][0].X < ordered[at - 1][0].X; at--)
            {
                (ordered[at], ordered[at - 1]) = (ordered[at - 1], ordered[at]);
            }
        }

        return ordered;
    }

    /// <summary>Rows: what the network sees, and what of it is kept.</summary>
    private readonly record struct Strip(int From, int To, int KeepFrom, int KeepTo);
}
