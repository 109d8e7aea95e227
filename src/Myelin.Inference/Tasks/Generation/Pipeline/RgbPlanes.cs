namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>Planar RGB of −1 to 1, as autoencoders speak it, ↔ interleaved bytes.</summary>
internal static class RgbPlanes
{
    public static float[] FromBytes(ReadOnlySpan<byte> pixels)
    {
        var plane = pixels.Length / 3;
        var planar = new float[pixels.Length];
        for (var i = 0; i < plane; i++)
        {
            for (var channel = 0; channel < 3; channel++)
            {
                planar[(channel * plane) + i] = (2 * (pixels[(3 * i) + channel] / 255f)) - 1;
            }
        }

        return planar;
    }

    /// <summary>Rounds half to even, as NumPy does, so that the bytes are the reference's.</summary>
    public static byte[] ToBytes(ReadOnlySpan<float> planar)
    {
        var plane = planar.Length / 3;
        var pixels = new byte[planar.Length];
        for (var i = 0; i < plane; i++)
        {
            for (var channel = 0; channel < 3; channel++)
            {
                var value = planar[(channel * plane) + i];
                pixels[(3 * i) + channel] = float.IsNaN(value) ? (byte)0 : (byte)MathF.Round(Math.Clamp((value / 2) + 0.5f, 0, 1) * 255);
            }
        }

        return pixels;
    }

    /// <summary>Per pixel 1 where a mask is light, 0 where it is dark.</summary>
    public static float[] Mask(ReadOnlySpan<byte> pixels)
    {
        var mask = new float[pixels.Length / 3];
        for (var i = 0; i < mask.Length; i++)
        {
            var luma = ((299 * pixels[3 * i]) + (587 * pixels[(3 * i) + 1]) + (114 * pixels[(3 * i) + 2])) / 1000;
            mask[i] = luma >= 128 ? 1 : 0;
        }

        return mask;
    }
}
