using Myelin.Inference.Imaging;

namespace Myelin.Inference.Tasks.Text;

/// <summary>RGB bytes → blue, green, red planes of −1..1, as both of PP-OCR's networks take them.</summary>
internal static class TextPixels
{
    private static readonly float[] s_gain = [2 / 255f, 2 / 255f, 2 / 255f];
    private static readonly float[] s_bias = [-1, -1, -1];

    /// <param name="pixels">RGB, interleaved, <paramref name="width"/> × <paramref name="height"/>.</param>
    /// <param name="width">Of the pixels.</param>
    /// <param name="height">Of the pixels and the planes.</param>
    /// <param name="target">Three planes of <paramref name="stride"/> × <paramref name="height"/>; columns beyond the width are left alone.</param>
    /// <param name="stride">Width of a plane.</param>
    public static void Write(ReadOnlySpan<byte> pixels, int width, int height, Span<float> target, int stride)
    {
        var plane = stride * height;
        for (var y = 0; y < height; y++)
        {
            TensorWriter.Planar(
                pixels.Slice(y * width * 3, width * 3),
                target.Slice((2 * plane) + (y * stride), width),
                target.Slice(plane + (y * stride), width),
                target.Slice(y * stride, width),
                s_gain,
                s_bias);
        }
    }
}
