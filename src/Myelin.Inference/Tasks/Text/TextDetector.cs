using System.Buffers;
using System.Numerics;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Text;

/// <summary>Finds lines of text. Stateless but for the runtime, which it does not own.</summary>
internal sealed class TextDetector(TextDetectionSettings settings, IRuntime runtime)
{
    private const int MaxSide = 8192;

    /// <summary>What is wrong with the network, or null.</summary>
    public static string? Misfit(IRuntime runtime) =>
        runtime.Inputs is [{ Type: ElementType.Float32, Shape: [_, 3 or -1, -1, -1] }] && runtime.Outputs is [{ Type: ElementType.Float32 }]
            ? null
            : "the detection network must take one FP32 input [1,3,height,width] of any size and give one probability map";

    public async Task<List<Vector2[]>> FindAsync(Picture picture, CancellationToken cancellationToken)
    {
        var (width, height) = Size(picture);
        using var tensor = Prepare(picture, width, height);
        using var outputs = await runtime.InferAsync([tensor], cancellationToken).ConfigureAwait(false);
        var map = outputs[0].As<float>();
        if (map.Length != width * height)
        {
            throw new RuntimeException($"the detection network gave {map.Length} probabilities for {width}×{height} pixels", retryable: false);
        }

        var regions = RegionFinder.Find(map, width, height, settings);
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

    /// <summary>The picture's size for the network: no side below <c>minSide</c>, unless that is too much, in steps of 32.</summary>
    private (int Width, int Height) Size(Picture picture)
    {
        var scale = Math.Max(1, (double)settings.MinSide / Math.Min(picture.Width, picture.Height));
        scale = Math.Min(scale, Math.Sqrt(settings.MaxMegapixels * 1e6 / ((double)picture.Width * picture.Height)));
        scale = Math.Min(scale, (double)MaxSide / Math.Max(picture.Width, picture.Height));
        return (Step(picture.Width * scale), Step(picture.Height * scale));

        static int Step(double side) => Math.Max(32, (int)Math.Round(Math.Floor(side) / 32) * 32);
    }

    private Tensor Prepare(Picture picture, int width, int height)
    {
        var pixels = ArrayPool<byte>.Shared.Rent(width * height * 3);
        try
        {
            Bilinear.Resize(picture.Pixels.Span, picture.Width, picture.Height, pixels, width, height);
            var tensor = runtime.Rent(runtime.Inputs[0].Name, ElementType.Float32, 1, 3, height, width);
            TextPixels.Write(pixels.AsSpan(0, width * height * 3), width, height, tensor.As<float>(), width);
            return tensor;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(pixels);
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
}
