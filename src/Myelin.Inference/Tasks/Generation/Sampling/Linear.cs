using System.Numerics;
using System.Runtime.InteropServices;

namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>
/// Weighted sums of latents, vectorised: the only arithmetic a sampler does per element. The scalar tail does the same
/// operations in the same order, so a result does not depend on the vector width's alignment.
/// </summary>
internal static class Linear
{
    /// <summary>into = a·x</summary>
    public static void Scale(Span<float> into, double a, ReadOnlySpan<float> x)
    {
        var factor = (float)a;
        var wide = Wide(into);
        var first = Wide(x);
        for (var i = 0; i < wide.Length; i++)
        {
            wide[i] = first[i] * factor;
        }

        for (var i = wide.Length * Vector<float>.Count; i < into.Length; i++)
        {
            into[i] = x[i] * factor;
        }
    }

    /// <summary>into = a·x + b·y; <paramref name="into"/> may be one of the operands.</summary>
    public static void Sum(Span<float> into, double a, ReadOnlySpan<float> x, double b, ReadOnlySpan<float> y)
    {
        var (fx, fy) = ((float)a, (float)b);
        var wide = Wide(into);
        var first = Wide(x);
        var second = Wide(y);
        for (var i = 0; i < wide.Length; i++)
        {
            wide[i] = (first[i] * fx) + (second[i] * fy);
        }

        for (var i = wide.Length * Vector<float>.Count; i < into.Length; i++)
        {
            into[i] = (x[i] * fx) + (y[i] * fy);
        }
    }

    /// <summary>into += a·x</summary>
    public static void Add(Span<float> into, double a, ReadOnlySpan<float> x) => Sum(into, 1, into, a, x);

    public static void Clamp(Span<float> values, float limit)
    {
        foreach (ref var value in values)
        {
            value = Math.Clamp(value, -limit, limit);
        }
    }

    private static Span<Vector<float>> Wide(Span<float> values) => MemoryMarshal.Cast<float, Vector<float>>(values);

    private static ReadOnlySpan<Vector<float>> Wide(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, Vector<float>>(values);
}
