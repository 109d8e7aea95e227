using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>
/// A linear guess of the colour that a latent cell decodes to, good enough for previews. Known numbers for the
/// autoencoders of Stable Diffusion; for others fitted by least squares, first on a decoded random latent, then on
/// every finished picture. Safe for concurrent calls.
/// </summary>
internal sealed class LatentColours
{
    // Rows: red, green, blue of each channel; values −1 to 1. As in common use (ComfyUI, A1111).
    private static readonly float[] s_stableDiffusion = [0.3512f, 0.2297f, 0.3227f, 0.3250f, 0.4974f, 0.2350f, -0.2829f, 0.1762f, 0.2721f, -0.2120f, -0.2616f, -0.7177f];
    private static readonly float[] s_stableDiffusionXl = [0.3651f, 0.4232f, 0.4341f, -0.2533f, -0.0042f, 0.1068f, 0.1076f, 0.1111f, -0.0362f, -0.3165f, -0.2492f, -0.2188f];

    private const double RandomWeight = 0.02; // A random latent decodes to nothing real: soon outvoted by pictures.

    private readonly int _channels;
    private readonly double[,] _equations; // Sums of x·xᵀ and x·colour, x = the cell's channels and 1.
    private readonly Lock _lock = new();
    private volatile float[] _factors; // [channel or constant, colour]

    private LatentColours(int channels, float[] factors)
    {
        (_channels, _factors) = (channels, factors);
        _equations = new double[channels + 1, channels + 4];
        for (var i = 0; i <= channels; i++)
        {
            _equations[i, i] = 1e-3; // Keeps the system solvable when a channel never varies.
        }
    }

    /// <summary>Known or fitted on a small random latent, which costs one small decode.</summary>
    public static async Task<LatentColours> MakeAsync(DiffusionFolder folder, Autoencoder autoencoder, CancellationToken cancellationToken)
    {
        var space = folder.Latent;
        if (space is { Channels: 4, Width: 512 })
        {
            return new LatentColours(4, [.. space.Scaling < 0.15f ? s_stableDiffusionXl : s_stableDiffusion, 0, 0, 0]) { IsKnown = true };
        }

        var colours = new LatentColours(space.Channels, new float[(space.Channels + 1) * 3]);
        var size = (Height: Math.Min(folder.SampleSize.Height, 16), Width: Math.Min(folder.SampleSize.Width, 16));
        var latent = new float[space.Channels * size.Height * size.Width];
        new TorchNormal(0).Fill(latent);
        var pixels = await autoencoder.DecodeAsync(latent, size, new RuntimeMeter(), cancellationToken).ConfigureAwait(false);
        colours.Learn(latent, pixels, size, space.Factor, RandomWeight);
        return colours;
    }

    private bool IsKnown { get; init; }

    /// <summary>Takes a finished picture into account.</summary>
    public void Learn(ReadOnlySpan<float> latent, ReadOnlySpan<float> pixels, (int Height, int Width) size, int factor, double weight = 1)
    {
        if (IsKnown)
        {
            return;
        }

        var cells = size.Height * size.Width;
        var row = new double[_channels + 4];
        lock (_lock)
        {
            for (var cell = 0; cell < cells; cell++)
            {
                for (var channel = 0; channel < _channels; channel++)
                {
                    row[channel] = latent[(channel * cells) + cell];
                }

                row[_channels] = 1;
                Mean(pixels, size, factor, cell, row.AsSpan(_channels + 1));
                if (!row.All(double.IsFinite))
                {
                    continue; // A network that overflowed teaches nothing.
                }

                for (var i = 0; i <= _channels; i++)
                {
                    for (var j = 0; j < row.Length; j++)
                    {
                        _equations[i, j] += weight * row[i] * row[j];
                    }
                }
            }

            var solution = LinearSystem.Solve((double[,])_equations.Clone());
            _factors = [.. Enumerable.Range(0, (_channels + 1) * 3).Select(i => (float)solution[i / 3, i % 3])];
        }
    }

    /// <summary>RGB bytes, one pixel per latent cell.</summary>
    public byte[] Paint(ReadOnlySpan<float> latent)
    {
        var cells = latent.Length / _channels;
        var (factors, pixels) = (_factors, new byte[cells * 3]);
        for (var cell = 0; cell < cells; cell++)
        {
            for (var colour = 0; colour < 3; colour++)
            {
                var value = factors[(_channels * 3) + colour];
                for (var channel = 0; channel < _channels; channel++)
                {
                    value += factors[(channel * 3) + colour] * latent[(channel * cells) + cell];
                }

                pixels[(cell * 3) + colour] = float.IsNaN(value) ? (byte)0 : (byte)(Math.Clamp((value / 2) + 0.5f, 0, 1) * 255);
            }
        }

        return pixels;
    }

    /// <summary>Mean colour of the pixels that a cell decodes to.</summary>
    private static void Mean(ReadOnlySpan<float> pixels, (int Height, int Width) size, int factor, int cell, Span<double> colour)
    {
        var (top, left, stride) = (cell / size.Width * factor, cell % size.Width * factor, size.Width * factor);
        for (var channel = 0; channel < 3; channel++)
        {
            var sum = 0.0;
            for (var y = 0; y < factor; y++)
            {
                var row = pixels.Slice((((channel * size.Height * factor) + top + y) * stride) + left, factor);
                foreach (var value in row)
                {
                    sum += Math.Clamp(value, -1, 1);
                }
            }

            colour[channel] = sum / (factor * factor);
        }
    }
}
