using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Myelin.Inference.Imaging;

/// <summary>
/// RGB bytes → normalised floats: <c>value × gain[c] + bias[c]</c>, planar or interleaved. One row at a time, so that a
/// letterboxed picture is written straight into its place.
/// </summary>
internal static class TensorWriter
{
    /// <summary>Splits a row of RGB into three planes.</summary>
    /// <param name="rgb">3 bytes a pixel.</param>
    /// <param name="first">The plane of red.</param>
    /// <param name="second">The plane of green.</param>
    /// <param name="third">The plane of blue.</param>
    /// <param name="gain">Per channel, in the order of the picture: red, green, blue.</param>
    /// <param name="bias">Per channel, likewise.</param>
    public static void Planar(
        ReadOnlySpan<byte> rgb, Span<float> first, Span<float> second, Span<float> third, ReadOnlySpan<float> gain, ReadOnlySpan<float> bias)
    {
        var width = rgb.Length / 3;
        var x = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            ref var source = ref MemoryMarshal.GetReference(rgb);
            for (; x + 16 <= width; x += 16)
            {
                var a = Vector128.LoadUnsafe(ref source, (nuint)(3 * x));
                var b = Vector128.LoadUnsafe(ref source, (nuint)(3 * x) + 16);
                var c = Vector128.LoadUnsafe(ref source, (nuint)(3 * x) + 32);
                Store(Pick(a, b, c, 0), first[x..], gain[0], bias[0]);
                Store(Pick(a, b, c, 1), second[x..], gain[1], bias[1]);
                Store(Pick(a, b, c, 2), third[x..], gain[2], bias[2]);
            }
        }

        for (; x < width; x++)
        {
            first[x] = (rgb[3 * x] * gain[0]) + bias[0];
            second[x] = (rgb[(3 * x) + 1] * gain[1]) + bias[1];
            third[x] = (rgb[(3 * x) + 2] * gain[2]) + bias[2];
        }
    }

    /// <summary>A row of RGB, or BGR where <paramref name="swap"/>, interleaved. Gain and bias are in the order of the picture.</summary>
    public static void Interleaved(ReadOnlySpan<byte> rgb, Span<float> target, ReadOnlySpan<float> gain, ReadOnlySpan<float> bias, bool swap)
    {
        if (swap)
        {
            for (var at = 0; at < rgb.Length; at += 3)
            {
                target[at] = (rgb[at + 2] * gain[2]) + bias[2];
                target[at + 1] = (rgb[at + 1] * gain[1]) + bias[1];
                target[at + 2] = (rgb[at] * gain[0]) + bias[0];
            }

            return;
        }

        // Three vectors of four hold the repeating pattern of three channels.
        var index = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            ref var source = ref MemoryMarshal.GetReference(rgb);
            var (g0, g1, g2) = Pattern(gain);
            var (b0, b1, b2) = Pattern(bias);
            for (; index + 48 <= rgb.Length; index += 48)
            {
                for (var part = 0; part < 48; part += 16)
                {
                    var (w0, w1, w2, w3) = Widen(Vector128.LoadUnsafe(ref source, (nuint)(index + part)));

                    // 16 is one more than a multiple of three, so each part starts one channel on.
                    var (p0, p1, p2, q0, q1, q2) = (part / 16) switch
                    {
                        0 => (g0, g1, g2, b0, b1, b2),
                        1 => (g1, g2, g0, b1, b2, b0),
                        _ => (g2, g0, g1, b2, b0, b1),
                    };
                    Write(target, index + part, w0, p0, q0);
                    Write(target, index + part + 4, w1, p1, q1);
                    Write(target, index + part + 8, w2, p2, q2);
                    Write(target, index + part + 12, w3, p0, q0);
                }
            }
        }

        for (; index < rgb.Length; index++)
        {
            target[index] = (rgb[index] * gain[index % 3]) + bias[index % 3];
        }
    }

    private static (Vector128<float> A, Vector128<float> B, Vector128<float> C) Pattern(ReadOnlySpan<float> c) => (
        Vector128.Create(c[0], c[1], c[2], c[0]),
        Vector128.Create(c[1], c[2], c[0], c[1]),
        Vector128.Create(c[2], c[0], c[1], c[2]));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(Span<float> target, int at, Vector128<float> value, Vector128<float> gain, Vector128<float> bias) =>
        ((value * gain) + bias).CopyTo(target[at..]);

    /// <summary>Every third byte of 48, beginning with <paramref name="channel"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Pick(Vector128<byte> a, Vector128<byte> b, Vector128<byte> c, int channel) => channel switch
    {
        0 => Vector128.Shuffle(a, Vector128.Create((byte)0, 3, 6, 9, 12, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255))
            | Vector128.Shuffle(b, Vector128.Create((byte)255, 255, 255, 255, 255, 255, 2, 5, 8, 11, 14, 255, 255, 255, 255, 255))
            | Vector128.Shuffle(c, Vector128.Create((byte)255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 4, 7, 10, 13)),
        1 => Vector128.Shuffle(a, Vector128.Create((byte)1, 4, 7, 10, 13, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255))
            | Vector128.Shuffle(b, Vector128.Create((byte)255, 255, 255, 255, 255, 0, 3, 6, 9, 12, 15, 255, 255, 255, 255, 255))
            | Vector128.Shuffle(c, Vector128.Create((byte)255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 5, 8, 11, 14)),
        _ => Vector128.Shuffle(a, Vector128.Create((byte)2, 5, 8, 11, 14, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255))
            | Vector128.Shuffle(b, Vector128.Create((byte)255, 255, 255, 255, 255, 1, 4, 7, 10, 13, 255, 255, 255, 255, 255, 255))
            | Vector128.Shuffle(c, Vector128.Create((byte)255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 3, 6, 9, 12, 15)),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<byte> bytes, Span<float> target, float gain, float bias)
    {
        var (w0, w1, w2, w3) = Widen(bytes);
        var (g, b) = (Vector128.Create(gain), Vector128.Create(bias));
        ((w0 * g) + b).CopyTo(target);
        ((w1 * g) + b).CopyTo(target[4..]);
        ((w2 * g) + b).CopyTo(target[8..]);
        ((w3 * g) + b).CopyTo(target[12..]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<float> A, Vector128<float> B, Vector128<float> C, Vector128<float> D) Widen(Vector128<byte> bytes)
    {
        var (low, high) = Vector128.Widen(bytes);
        var (a, b) = Vector128.Widen(low);
        var (c, d) = Vector128.Widen(high);
        return (
            Vector128.ConvertToSingle(a.AsInt32()), Vector128.ConvertToSingle(b.AsInt32()),
            Vector128.ConvertToSingle(c.AsInt32()), Vector128.ConvertToSingle(d.AsInt32()));
    }
}
