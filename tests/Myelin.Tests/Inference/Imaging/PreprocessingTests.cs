using Myelin.Inference.Imaging;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Imaging;

public class PreprocessingTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(15)]
    [InlineData(16)]
    [InlineData(33)]
    [InlineData(100)]
    public void TensorWriter_AnyWidth_EqualsThePlainLoop(int width)
    {
        var rgb = new byte[width * 3];
        new Random(width).NextBytes(rgb);
        float[] gain = [0.5f, 0.25f, 2f];
        float[] bias = [-1f, 3f, 0.125f];
        var planes = new float[3][];
        for (var channel = 0; channel < 3; channel++)
        {
            planes[channel] = new float[width];
        }

        var interleaved = new float[width * 3];
        var swapped = new float[width * 3];
        TensorWriter.Planar(rgb, planes[0], planes[1], planes[2], gain, bias);
        TensorWriter.Interleaved(rgb, interleaved, gain, bias, swap: false);
        TensorWriter.Interleaved(rgb, swapped, gain, bias, swap: true);

        for (var at = 0; at < rgb.Length; at++)
        {
            var wanted = (rgb[at] * gain[at % 3]) + bias[at % 3];
            planes[at % 3][at / 3].ShouldBe(wanted);
            interleaved[at].ShouldBe(wanted);
            swapped[at - (at % 3) + 2 - (at % 3)].ShouldBe(wanted);
        }
    }

    [Theory]
    [InlineData(FitMode.Letterbox, true)]
    [InlineData(FitMode.Letterbox, false)]
    [InlineData(FitMode.Stretch, true)]
    [InlineData(FitMode.Crop, true)]
    public void Fit_CornersOfTheVisiblePart_MapBackIntoThePicture(FitMode mode, bool centred)
    {
        var fit = PictureFit.Of(mode, 1000, 400, 416, 416, centred, 1);

        var window = fit.Window(416, 416);
        fit.X(window.X).ShouldBeInRange(-0.01f, mode == FitMode.Crop ? 300.6f : 0.01f);
        fit.X(window.X + window.Width).ShouldBeInRange(mode == FitMode.Crop ? 699.4f : 999.9f, 1000.1f);
        fit.Y(window.Y).ShouldBe(0, 0.01);
        fit.Y(window.Y + window.Height).ShouldBe(400, 0.01);
    }

    [Fact]
    public void Fit_ExtremeStrip_StillHasAPixel()
    {
        var fit = PictureFit.Of(FitMode.Letterbox, 30_000, 1, 416, 416, centred: true, 1);

        fit.Window(416, 416).ShouldBe((0, 207, 416, 1));
    }

    [Fact]
    public void Bilinear_SameSize_IsTheSame()
    {
        var pixels = new byte[7 * 5 * 3];
        new Random(1).NextBytes(pixels);
        var target = new byte[pixels.Length];

        Bilinear.Resize(pixels, 7, 5, target, 7, 5);

        target.ShouldBe(pixels);
    }

    [Fact]
    public void Bilinear_TwiceAsWide_InterpolatesAtHalfPixels()
    {
        byte[] pixels = [0, 0, 0, 100, 100, 100];
        var target = new byte[4 * 3];

        Bilinear.Resize(pixels, 2, 1, target, 4, 1);

        target.Where((_, at) => at % 3 == 0).ShouldBe(new byte[] { 0, 25, 75, 100 });
    }
}
