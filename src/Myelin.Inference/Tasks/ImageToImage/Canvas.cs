namespace Myelin.Inference.Tasks.ImageToImage;

/// <summary>Puts a picture together from overlapping tiles: weighted sums, divided at the end.</summary>
internal sealed class Canvas(int width, int height, int channels)
{
    private readonly float[] _sums = new float[channels * width * height];
    private readonly float[] _weights = new float[width * height];

    /// <param name="tile">Planar [channels × rows × columns]; what reaches beyond the canvas is left out.</param>
    /// <param name="left">Column of the tile's first pixel.</param>
    /// <param name="top">Row of the tile's first pixel.</param>
    /// <param name="across">Weight of each of its columns.</param>
    /// <param name="down">Weight of each of its rows.</param>
    public void Add(ReadOnlySpan<float> tile, int left, int top, float[] across, float[] down)
    {
        var (columns, rows) = (Math.Min(across.Length, width - left), Math.Min(down.Length, height - top));
        for (var y = 0; y < rows; y++)
        {
            for (var x = 0; x < columns; x++)
            {
                var (at, weight) = (((top + y) * width) + left + x, across[x] * down[y]);
                _weights[at] += weight;
                for (var channel = 0; channel < channels; channel++)
                {
                    _sums[(channel * width * height) + at] += weight * tile[(((channel * down.Length) + y) * across.Length) + x];
                }
            }
        }
    }

    public float Value(int channel, int at) => _sums[(channel * width * height) + at] / _weights[at];
}
