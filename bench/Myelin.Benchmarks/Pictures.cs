using System.Diagnostics;
using System.Globalization;
using Myelin.Inference.Imaging;
using Myelin.Testing;

namespace Myelin.Benchmarks;

/// <summary>What the binding to libvips costs: the same steps through NetVips and through the C interface, by turns.</summary>
internal static class Pictures
{
    private const int Width = 4000;
    private const int Height = 3000;
    private const int Side = 640;
    private const int Rounds = 60;

    public static async Task RunAsync()
    {
        var jpeg = await LargeAsync();
        var fit = PictureFit.Of(FitMode.Letterbox, Width, Height, Side, Side, centred: true, cropRatio: 1);
        var table = new Table($"{Width}×{Height} JPEG ({jpeg.Length / 1e6:0.0} MB) → {fit.ScaledWidth}×{fit.ScaledHeight}", "direct calls: median ms", "NetVips: median ms", "NetVips over direct", "same bytes");
        foreach (var (name, shrink, enough) in new (string, int, (int, int)?)[] { ("decoded at a quarter, as detectors do", 4, (Side, Side)), ("all pixels", 1, null) })
        {
            var (direct, wrapped, same) = (new List<double>(), new List<double>(), true);
            for (var round = -3; round < Rounds; round++)
            {
                var start = Stopwatch.GetTimestamp();
                var right = DirectVips.DecodeAndFit(jpeg, shrink, fit.ScaledWidth, fit.ScaledHeight);
                var between = Stopwatch.GetTimestamp();
                var mine = DecodeAndFit(jpeg, fit, enough);
                var end = Stopwatch.GetTimestamp();
                same &= right == mine;
                if (round >= 0)
                {
                    direct.Add(Stopwatch.GetElapsedTime(start, between).TotalMilliseconds);
                    wrapped.Add(Stopwatch.GetElapsedTime(between, end).TotalMilliseconds);
                }
            }

            // Neighbours in time are compared: what else the machine does meets both.
            var ratio = Median(wrapped.Zip(direct, (mine, right) => mine / right));
            table.Add(name, Median(direct), Median(wrapped), ratio.ToString("0.000", CultureInfo.InvariantCulture), same ? "yes" : "no");
        }

        table.Print("Decode and fit");
    }

    private static (byte First, int Count) DecodeAndFit(byte[] jpeg, PictureFit fit, (int, int)? enough)
    {
        using var picture = Picture.Decode(jpeg, new ImagingLimits(), enough: enough);
        using var scaled = PictureScaler.Scale(picture, fit, Side, Side);
        return (scaled.Pixels.Span[0], scaled.Pixels.Length);
    }

    /// <summary>The street once more, at the size of a telephone's camera.</summary>
    private static async Task<byte[]> LargeAsync()
    {
        using var street = Picture.Decode(await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "street.jpg")), new ImagingLimits());
        var fit = PictureFit.Of(FitMode.Stretch, street.Width, street.Height, Width, Height, centred: true, cropRatio: 1);
        using var large = PictureScaler.Scale(street, fit, Width, Height);
        return PictureEncoder.Encode(large.Pixels, Width, Height, PictureFormat.Jpeg);
    }

    private static double Median(IEnumerable<double> values) => values.Order().ToArray() is var sorted ? sorted[sorted.Length / 2] : 0;
}
