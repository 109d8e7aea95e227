using Myelin.Inference.Imaging;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Imaging;

/// <summary>The same scene in every format: red, green over blue, white.</summary>
public class PictureTests
{
    [Theory]
    [InlineData("rgb.png", PictureFormat.Png)]
    [InlineData("rgb.jpg", PictureFormat.Jpeg)]
    [InlineData("rgb.webp", PictureFormat.WebP)]
    [InlineData("rgb.tif", PictureFormat.Tiff)]
    [InlineData("rgb.avif", PictureFormat.Avif)]
    [InlineData("cmyk.jpg", PictureFormat.Jpeg)]
    [InlineData("palette.gif", PictureFormat.Gif)]
    [InlineData("animated.gif", PictureFormat.Gif)]
    [InlineData("orientation3.jpg", PictureFormat.Jpeg)]
    [InlineData("orientation6.jpg", PictureFormat.Jpeg)]
    [InlineData("rgb16.png", PictureFormat.Png)]
    [InlineData("rgba16.png", PictureFormat.Png)]
    [InlineData("rgba.png", PictureFormat.Png)]
    [InlineData("rgba.webp", PictureFormat.WebP)]
    public void Decode_EveryFormatAndColour_ShowsTheScene(string file, PictureFormat format)
    {
        var bytes = Scene.Read(file);

        var header = PictureHeader.Read(bytes, new ImagingLimits());
        using var picture = Picture.Decode(bytes, new ImagingLimits());

        header.Format.ShouldBe(format);
        (header.OrientedWidth, header.OrientedHeight).ShouldBe((64, 48));
        (picture.Width, picture.Height, picture.OriginalWidth, picture.OriginalHeight).ShouldBe((64, 48, 64, 48));

        // CMYK has no such red or blue: the profile's nearest is accepted.
        var tolerance = file.StartsWith("cmyk", StringComparison.Ordinal) ? 140 : 12;
        Scene.Colour(picture, 16, 12).ShouldBeNear((255, 0, 0), tolerance);
        Scene.Colour(picture, 48, 12).ShouldBeNear((0, 160, 0), tolerance);
        Scene.Colour(picture, 16, 36).ShouldBeNear((0, 0, 255), tolerance);
        Scene.Colour(picture, 48, 36).ShouldBeNear((255, 255, 255), tolerance);
    }

    [Fact]
    public void Decode_Grey_BecomesThreeEqualChannels()
    {
        using var picture = Picture.Decode(Scene.Read("grey.jpg"), new ImagingLimits());

        var (red, green, blue) = Scene.Colour(picture, 16, 12);
        red.ShouldBe(green);
        green.ShouldBe(blue);
        red.ShouldBeInRange(70, 82); // 0.299 of 255
    }

    [Fact]
    public void Header_StoredTurned_TellsBothSizes()
    {
        var header = PictureHeader.Read(Scene.Read("orientation6.jpg"), new ImagingLimits());

        (header.Width, header.Height, header.Orientation).ShouldBe((48, 64, 6));
        (header.OrientedWidth, header.OrientedHeight).ShouldBe((64, 48));
    }

    [Fact]
    public void Header_Animation_CountsFrames() =>
        PictureHeader.Read(Scene.Read("animated.gif"), new ImagingLimits()).Frames.ShouldBe(2);

    [Theory]
    [InlineData("winml_dog.jpg", 100, 100)]
    [InlineData("sinet_obama.jpg", 50, 50)]
    public void Decode_SmallSizeIsEnough_ShrinksOnLoadAndKeepsTheOriginalSize(string sample, int width, int height)
    {
        var bytes = File.ReadAllBytes(Shared.Sample(sample));
        using var whole = Picture.Decode(bytes, new ImagingLimits());

        using var picture = Picture.Decode(bytes, new ImagingLimits(), enough: (width, height));

        picture.Width.ShouldBeLessThan(whole.Width / 2 + 1);
        picture.Width.ShouldBeGreaterThanOrEqualTo(width);
        picture.Height.ShouldBeGreaterThanOrEqualTo(height);
        (picture.OriginalWidth, picture.OriginalHeight).ShouldBe((whole.Width, whole.Height));
    }

    [Theory]
    [InlineData(PictureFormat.Jpeg)]
    [InlineData(PictureFormat.Png)]
    [InlineData(PictureFormat.WebP)]
    public void Encode_ThenDecode_ShowsTheScene(PictureFormat format)
    {
        using var picture = Picture.Decode(Scene.Read("rgb.png"), new ImagingLimits());

        var bytes = PictureEncoder.Encode(picture.Pixels, picture.Width, picture.Height, format);

        PictureFormats.Sniff(bytes).ShouldBe(format);
        using var again = Picture.Decode(bytes, new ImagingLimits());
        Scene.Colour(again, 48, 12).ShouldBeNear((0, 160, 0), 14);
    }
}
