using System.Numerics;

namespace Myelin.Inference.Tasks.Text;

/// <summary>The smallest rectangle, at any angle, around points.</summary>
/// <param name="Corners">Four, in order from the upper left clockwise, as a person sees them.</param>
/// <param name="ShortSide">Length of the shorter side.</param>
internal readonly record struct RotatedRectangle(Vector2[] Corners, float ShortSide)
{
    /// <summary>Rotating calipers: the smallest rectangle shares a side with the convex hull.</summary>
    public static RotatedRectangle Around(List<Vector2> points)
    {
        var hull = Hull(points);
        var best = (Area: float.PositiveInfinity, Axis: Vector2.UnitX, Min: Vector2.Zero, Max: Vector2.Zero);
        for (var index = 0; index < hull.Count; index++)
        {
            var side = hull[(index + 1) % hull.Count] - hull[index];
            var axis = side.LengthSquared() > 0 ? Vector2.Normalize(side) : Vector2.UnitX;
            var normal = new Vector2(-axis.Y, axis.X);
            var (min, max) = (new Vector2(float.PositiveInfinity), new Vector2(float.NegativeInfinity));
            foreach (var point in hull)
            {
                var turned = new Vector2(Vector2.Dot(point, axis), Vector2.Dot(point, normal));
                (min, max) = (Vector2.Min(min, turned), Vector2.Max(max, turned));
            }

            var area = (max.X - min.X) * (max.Y - min.Y);
            if (area < best.Area)
            {
                best = (area, axis, min, max);
            }
        }

        var (x, y) = (best.Axis, new Vector2(-best.Axis.Y, best.Axis.X));
        Vector2[] corners =
        [
            (x * best.Min.X) + (y * best.Min.Y), (x * best.Max.X) + (y * best.Min.Y),
            (x * best.Max.X) + (y * best.Max.Y), (x * best.Min.X) + (y * best.Max.Y),
        ];
        return new RotatedRectangle(Order(corners), Math.Min(best.Max.X - best.Min.X, best.Max.Y - best.Min.Y));
    }

    /// <summary>Of the two leftmost the upper comes first, then clockwise.</summary>
    private static Vector2[] Order(Vector2[] corners)
    {
        Array.Sort(corners, static (a, b) => a.X.CompareTo(b.X));
        var (topLeft, bottomLeft) = corners[1].Y > corners[0].Y ? (corners[0], corners[1]) : (corners[1], corners[0]);
        var (topRight, bottomRight) = corners[3].Y > corners[2].Y ? (corners[2], corners[3]) : (corners[3], corners[2]);
        return [topLeft, topRight, bottomRight, bottomLeft];
    }

    /// <summary>Andrew's monotone chain.</summary>
    private static List<Vector2> Hull(List<Vector2> points)
    {
        points.Sort(static (a, b) => a.X != b.X ? a.X.CompareTo(b.X) : a.Y.CompareTo(b.Y));
        if (points.Count < 3)
        {
            return points;
        }

        var hull = new List<Vector2>();
        for (var pass = 0; pass < 2; pass++)
        {
            var start = hull.Count;
            for (var index = 0; index < points.Count; index++)
            {
                var point = points[pass == 0 ? index : points.Count - 1 - index];
                while (hull.Count >= start + 2 && Cross(hull[^2], hull[^1], point) <= 0)
                {
                    hull.RemoveAt(hull.Count - 1);
                }

                hull.Add(point);
            }

            hull.RemoveAt(hull.Count - 1);
        }

        return hull.Count == 0 ? [points[0]] : hull;
    }

    private static float Cross(Vector2 origin, Vector2 a, Vector2 b) =>
        ((a.X - origin.X) * (b.Y - origin.Y)) - ((a.Y - origin.Y) * (b.X - origin.X));
}
