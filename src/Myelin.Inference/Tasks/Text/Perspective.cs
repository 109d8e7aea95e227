using System.Numerics;

namespace Myelin.Inference.Tasks.Text;

/// <summary>Cuts a quadrilateral out of a picture as an upright rectangle, interpolating four by four pixels.</summary>
internal static class Perspective
{
    /// <summary>No line of text is cut out larger than this.</summary>
    private const int MaxSide = 8192;

    /// <param name="pixels">RGB, interleaved.</param>
    /// <param name="width">Of the picture.</param>
    /// <param name="height">Of the picture.</param>
    /// <param name="quad">Corners from the upper left clockwise.</param>
    /// <returns>The line of text; one much taller than wide is turned a quarter to the left.</returns>
    public static (byte[] Pixels, int Width, int Height) Cut(ReadOnlySpan<byte> pixels, int width, int height, Vector2[] quad)
    {
        var across = Math.Clamp((int)Math.Max((quad[0] - quad[1]).Length(), (quad[2] - quad[3]).Length()), 1, MaxSide);
        var down = Math.Clamp((int)Math.Max((quad[0] - quad[3]).Length(), (quad[1] - quad[2]).Length()), 1, MaxSide);
        var cut = new byte[across * down * 3];
        var map = FromRectangle(across, down, quad);
        for (var y = 0; y < down; y++)
        {
            for (var x = 0; x < across; x++)
            {
                var scale = (map[6] * x) + (map[7] * y) + 1;
                var sourceX = ((map[0] * x) + (map[1] * y) + map[2]) / scale;
                var sourceY = ((map[3] * x) + (map[4] * y) + map[5]) / scale;
                Sample(pixels, width, height, (float)sourceX, (float)sourceY, cut.AsSpan(((y * across) + x) * 3, 3));
            }
        }

        return down >= across * 1.5 ? TurnLeft(cut, across, down) : (cut, across, down);
    }

    /// <summary>The eight numbers of the projective map that takes the rectangle's corners to the quadrilateral's.</summary>
    private static double[] FromRectangle(int width, int height, Vector2[] quad)
    {
        // Unit square → quadrilateral in closed form (Heckbert 1989), then the square is stretched to the rectangle.
        var (p0, p1, p2, p3) = (quad[0], quad[1], quad[2], quad[3]);
        double dx1 = p1.X - p2.X, dx2 = p3.X - p2.X, dx3 = p0.X - p1.X + p2.X - p3.X;
        double dy1 = p1.Y - p2.Y, dy2 = p3.Y - p2.Y, dy3 = p0.Y - p1.Y + p2.Y - p3.Y;
        var determinant = (dx1 * dy2) - (dx2 * dy1);
        var g = Math.Abs(determinant) < 1e-12 ? 0 : ((dx3 * dy2) - (dx2 * dy3)) / determinant;
        var h = Math.Abs(determinant) < 1e-12 ? 0 : ((dx1 * dy3) - (dx3 * dy1)) / determinant;
        return
        [
            (p1.X - p0.X + (g * p1.X)) / width, (p3.X - p0.X + (h * p3.X)) / height, p0.X,
            (p1.Y - p0.Y + (g * p1.Y)) / width, (p3.Y - p0.Y + (h * p3.Y)) / height, p0.Y,
            g / width, h / height,
        ];
    }

    private static void Sample(ReadOnlySpan<byte> pixels, int width, int height, float x, float y, Span<byte> target)
    {
        var (left, top) = ((int)MathF.Floor(x), (int)MathF.Floor(y));
        Span<float> across = stackalloc float[4];
        Span<float> down = stackalloc float[4];
        Weights(x - left, across);
        Weights(y - top, down);
        var (red, green, blue) = (0f, 0f, 0f);
        for (var row = 0; row < 4; row++)
        {
            var line = Math.Clamp(top + row - 1, 0, height - 1) * width;
            for (var column = 0; column < 4; column++)
            {
                var at = (line + Math.Clamp(left + column - 1, 0, width - 1)) * 3;
                var weight = down[row] * across[column];
                red += weight * pixels[at];
                green += weight * pixels[at + 1];
                blue += weight * pixels[at + 2];
            }
        }

        target[0] = (byte)Math.Clamp(red + 0.5f, 0, 255);
        target[1] = (byte)Math.Clamp(green + 0.5f, 0, 255);
        target[2] = (byte)Math.Clamp(blue + 0.5f, 0, 255);
    }

    /// <summary>Cubic convolution with the sharpness −0.75 that OpenCV uses.</summary>
    private static void Weights(float x, Span<float> weights)
    {
        const float a = -0.75f;
        weights[0] = ((((a * (x + 1)) - (5 * a)) * (x + 1) + (8 * a)) * (x + 1)) - (4 * a);
        weights[1] = ((((a + 2) * x) - (a + 3)) * x * x) + 1;
        weights[2] = ((((a + 2) * (1 - x)) - (a + 3)) * (1 - x) * (1 - x)) + 1;
        weights[3] = 1 - weights[0] - weights[1] - weights[2];
    }

    private static (byte[] Pixels, int Width, int Height) TurnLeft(byte[] pixels, int width, int height)
    {
        var turned = new byte[pixels.Length];
        for (var y = 0; y < height; y++)
        {
            for (var x = 0; x < width; x++)
            {
                pixels.AsSpan(((y * width) + x) * 3, 3).CopyTo(turned.AsSpan((((width - 1 - x) * height) + y) * 3));
            }
        }

        return (turned, height, width);
    }
}
