using System.Numerics;

namespace Myelin.Inference.Tasks.Text;

/// <summary>
/// Probability map → quadrilaterals around lines of text: binarize, dilate, connect, smallest rectangle, mean
/// probability, grow. The steps of DB's postprocessing in PaddleOCR.
/// </summary>
internal static class RegionFinder
{
    private const int MaxCandidates = 1000;
    private const float MinSide = 3;

    /// <param name="map">Probabilities, <paramref name="width"/> × <paramref name="height"/>.</param>
    /// <param name="width">Of the map.</param>
    /// <param name="height">Of the map.</param>
    /// <param name="settings">Thresholds and growth.</param>
    /// <returns>Corners in pixels of the map, clockwise from the upper left.</returns>
    public static List<Vector2[]> Find(ReadOnlySpan<float> map, int width, int height, TextDetectionSettings settings)
    {
        var mask = Dilated(map, width, height, (float)settings.Threshold);
        var stack = new Stack<int>();
        var found = new List<Vector2[]>();
        var candidates = 0;
        for (var start = 0; start < mask.Length && candidates < MaxCandidates; start++)
        {
            if (!mask[start])
            {
                continue;
            }

            var rectangle = RotatedRectangle.Around(Component(mask, width, height, start, stack));
            if (rectangle.ShortSide < MinSide)
            {
                continue;
            }

            candidates++;
            if (Mean(map, width, height, rectangle.Corners) < settings.BoxThreshold)
            {
                continue;
            }

            var grown = Grow(rectangle.Corners, (float)settings.Unclip);
            if (grown.ShortSide >= MinSide + 2)
            {
                found.Add(grown.Corners);
            }
        }

        return found;
    }

    /// <summary>A pixel is text where it, or a neighbour to the left or above, is: closes gaps of a pixel inside letters.</summary>
    private static bool[] Dilated(ReadOnlySpan<float> map, int width, int height, float threshold)
    {
        var mask = new bool[map.Length];
        for (var y = 0; y < height; y++)
        {
            for (var x = 0; x < width; x++)
            {
                if (map[(y * width) + x] > threshold)
                {
                    var (right, below) = (x + 1 < width, y + 1 < height);
                    var at = (y * width) + x;
                    mask[at] = true;
                    mask[right ? at + 1 : at] = true;
                    mask[below ? at + width : at] = true;
                    mask[right && below ? at + width + 1 : at] = true;
                }
            }
        }

        return mask;
    }

    /// <summary>The border of the connected text pixels around <paramref name="start"/>; clears them from the mask.</summary>
    private static List<Vector2> Component(bool[] mask, int width, int height, int start, Stack<int> stack)
    {
        // Only the first and last pixel of each row can lie on the hull.
        var rows = new Dictionary<int, (int First, int Last)>();
        mask[start] = false;
        stack.Push(start);
        while (stack.TryPop(out var at))
        {
            var (x, y) = (at % width, at / width);
            rows[y] = rows.TryGetValue(y, out var row) ? (Math.Min(row.First, x), Math.Max(row.Last, x)) : (x, x);
            for (var dy = y > 0 ? -1 : 0; dy <= (y + 1 < height ? 1 : 0); dy++)
            {
                for (var dx = x > 0 ? -1 : 0; dx <= (x + 1 < width ? 1 : 0); dx++)
                {
                    var next = at + (dy * width) + dx;
                    if (mask[next])
                    {
                        mask[next] = false;
                        stack.Push(next);
                    }
                }
            }
        }

        var points = new List<Vector2>(rows.Count * 2);
        foreach (var (y, row) in rows)
        {
            points.Add(new Vector2(row.First, y));
            points.Add(new Vector2(row.Last, y));
        }

        return points;
    }

    /// <summary>
    /// Mean probability inside the quadrilateral. As in the reference its corners are cut to whole pixels and the pixels
    /// of its outline count: small regions stand or fall by that.
    /// </summary>
    private static double Mean(ReadOnlySpan<float> map, int width, int height, Vector2[] corners)
    {
        var whole = Array.ConvertAll(corners, corner => new Vector2(
            MathF.Floor(Math.Clamp(corner.X, 0, width - 1)), MathF.Floor(Math.Clamp(corner.Y, 0, height - 1))));
        var (left, right) = ((int)whole.Min(c => c.X), (int)whole.Max(c => c.X));
        var (top, bottom) = ((int)whole.Min(c => c.Y), (int)whole.Max(c => c.Y));
        var columns = right - left + 1;
        var inside = new bool[columns * (bottom - top + 1)];
        for (var index = 0; index < 4; index++)
        {
            DrawLine(inside, columns, whole[index] - new Vector2(left, top), whole[(index + 1) % 4] - new Vector2(left, top));
        }

        var (sum, count) = (0.0, 0);
        for (var y = top; y <= bottom; y++)
        {
            for (var x = left; x <= right; x++)
            {
                if (inside[((y - top) * columns) + x - left] || Inside(whole, x, y))
                {
                    sum += map[(y * width) + x];
                    count++;
                }
            }
        }

        return count == 0 ? 0 : sum / count;
    }

    private static bool Inside(Vector2[] corners, float x, float y)
    {
        for (var index = 0; index < 4; index++)
        {
            var (a, b) = (corners[index], corners[(index + 1) % 4]);
            var side = b - a;
            if ((side.X * (y - a.Y)) - (side.Y * (x - a.X)) < 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Bresenham's line, from left to right.</summary>
    private static void DrawLine(bool[] mask, int columns, Vector2 from, Vector2 to)
    {
        var ((x, y), (endX, endY)) = from.X <= to.X ? (((int)from.X, (int)from.Y), ((int)to.X, (int)to.Y)) : (((int)to.X, (int)to.Y), ((int)from.X, (int)from.Y));
        var (across, down, step) = (endX - x, Math.Abs(endY - y), endY >= y ? 1 : -1);
        var (major, minor) = (Math.Max(across, down), Math.Min(across, down));
        var error = major - (2 * minor);
        for (var at = 0; at <= major; at++)
        {
            mask[(y * columns) + x] = true;
            var turn = error < 0;
            error += (turn ? 2 * major : 0) - (2 * minor);
            x += across >= down || turn ? 1 : 0;
            y += across < down || turn ? step : 0;
        }
    }

    /// <summary>
    /// Moves the outline out by area × ratio ÷ perimeter, round at the corners, and takes the smallest rectangle. On
    /// whole pixels and with the arc steps of the Clipper library, to come to the corners that the reference gives.
    /// </summary>
    private static RotatedRectangle Grow(Vector2[] corners, float ratio)
    {
        var (area, perimeter) = (0f, 0f);
        for (var index = 0; index < 4; index++)
        {
            var (a, b) = (corners[index], corners[(index + 1) % 4]);
            area += (a.X * b.Y) - (b.X * a.Y);
            perimeter += (b - a).Length();
        }

        var distance = Math.Abs(area) / 2 * ratio / perimeter;
        var whole = Array.ConvertAll(corners, corner => new Vector2(MathF.Truncate(corner.X), MathF.Truncate(corner.Y)));
        var outline = new List<Vector2>();
        var steps = Math.Min(Math.PI / Math.Acos(1 - (Math.Min(0.25, distance * 0.25) / distance)), distance * Math.PI);
        for (var index = 0; index < 4; index++)
        {
            var (before, after) = (Normal(whole[(index + 3) % 4], whole[index]), Normal(whole[index], whole[(index + 1) % 4]));
            var turn = Math.Atan2((before.X * after.Y) - (before.Y * after.X), Vector2.Dot(before, after));
            var arc = Math.Max((int)Math.Round(steps / (2 * Math.PI) * Math.Abs(turn)), 1);
            for (var step = 0; step < arc; step++)
            {
                var (sine, cosine) = Math.SinCos(step * 2 * Math.PI / steps);
                outline.Add(Whole(whole[index] + (distance * new Vector2(
                    (float)((before.X * cosine) - (before.Y * sine)), (float)((before.X * sine) + (before.Y * cosine))))));
            }

            outline.Add(Whole(whole[index] + (distance * after)));
        }

        return RotatedRectangle.Around(outline);

        static Vector2 Normal(Vector2 from, Vector2 to) => to == from ? Vector2.Zero : Vector2.Normalize(new Vector2(to.Y - from.Y, from.X - to.X));

        static Vector2 Whole(Vector2 point) => new(MathF.Round(point.X, MidpointRounding.AwayFromZero), MathF.Round(point.Y, MidpointRounding.AwayFromZero));
    }
}
