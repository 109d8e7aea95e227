namespace Myelin.Inference.Tasks.ImageToImage;

/// <summary>How one side of a picture is covered by tiles of a fixed length, and how they blend where they overlap.</summary>
/// <param name="Length">Of the side, in pixels.</param>
/// <param name="Tile">Of a tile.</param>
/// <param name="Overlap">At least this much is shared by neighbours.</param>
internal readonly record struct Tiles(int Length, int Tile, int Overlap)
{
    public int Count => Length <= Tile ? 1 : 1 + (int)Math.Ceiling((double)(Length - Tile) / (Tile - Overlap));

    /// <summary>First pixel of a tile: spread evenly, the last ends with the picture. A picture smaller than a tile begins at 0.</summary>
    public int Start(int index) => Count == 1 ? 0 : (int)Math.Round((double)index * (Length - Tile) / (Count - 1));

    /// <summary>
    /// Weight of each of a tile's pixels, above 0: rises over the overlap from an inner edge, is 1 elsewhere. Divided
    /// by the sum over all tiles, so the ramp's form is free.
    /// </summary>
    public float[] Weights(int index, int scale)
    {
        var weights = new float[Tile * scale];
        var ramp = Math.Max(Overlap * scale, 1);
        for (var i = 0; i < weights.Length; i++)
        {
            var left = index == 0 ? 1 : Math.Min((i + 0.5f) / ramp, 1);
            var right = index == Count - 1 ? 1 : Math.Min((weights.Length - i - 0.5f) / ramp, 1);
            weights[i] = Math.Min(left, right);
        }

        return weights;
    }

    /// <summary>A pixel beyond the picture's end, mirrored back into it: networks take a mirrored edge for more of the picture.</summary>
    public int Mirror(int at)
    {
        if (Length == 1)
        {
            return 0;
        }

        var within = at % (2 * (Length - 1));
        return within < Length ? within : (2 * (Length - 1)) - within;
    }
}
