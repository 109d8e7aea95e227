using System.Xml.Linq;
using Myelin.Inference.Imaging;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Imaging;

public class OverlayTests
{
    [Fact]
    public void Svg_HostileLabel_StaysText()
    {
        var overlay = new Overlay(200, 100);
        overlay.Box(10, 10, 50, 50, "#ff0000", "</text><image href='file:///etc/passwd'/>&\0\u0001\ud800");

        var svg = XDocument.Parse(overlay.ToSvg(200, 100));

        svg.Descendants().ShouldNotContain(element => element.Name.LocalName == "image");
        svg.Descendants().Single(element => element.Name.LocalName == "text").Value.ShouldBe("</text><image href='file:///etc/passwd'/>&");
    }

    [Fact]
    public void Svg_EndlessLabel_IsCut()
    {
        var overlay = new Overlay(200, 100);
        overlay.Box(10, 10, 50, 50, "#ff0000", new string('x', 100_000));

        XDocument.Parse(overlay.ToSvg(200, 100)).Descendants().Single(element => element.Name.LocalName == "text").Value.Length.ShouldBe(61);
    }

    [Fact]
    public void Render_Box_DrawsItsColourAndLeavesTheRest()
    {
        using var picture = White(400, 300);
        var overlay = new Overlay(400, 300);
        overlay.Box(100, 100, 200, 150, "#ff0000", "person 97%");

        using var drawn = Picture.Decode(overlay.Render(picture, new ImagingLimits()), new ImagingLimits());

        (drawn.Width, drawn.Height).ShouldBe((400, 300));
        Scene.Colour(drawn, 100, 180).ShouldBeNear((255, 0, 0), 110);
        Scene.Colour(drawn, 200, 180).ShouldBeNear((255, 255, 255), 10);
        Scene.Colour(drawn, 380, 20).ShouldBeNear((255, 255, 255), 10);

        // White letters on the red chip above the box: a font was found.
        var chip = Enumerable.Range(104, 60).SelectMany(x => Enumerable.Range(91, 8).Select(y => Scene.Colour(drawn, x, y))).ToList();
        chip.ShouldContain(colour => colour.Green > 170, "no light pixel of a letter");
        chip.ShouldContain(colour => colour.Green < 60, "no pixel of the chip");
    }

    [Fact]
    public void Render_HugePicture_IsDrawnAtTheLimit()
    {
        using var picture = White(1200, 600);
        var overlay = new Overlay(1200, 600);
        overlay.Box(600, 300, 400, 200, "#00ff00", "");

        using var drawn = Picture.Decode(overlay.Render(picture, new ImagingLimits { MaxAnnotatedSide = 300 }), new ImagingLimits());

        (drawn.Width, drawn.Height).ShouldBe((300, 150));
        Scene.Colour(drawn, 20, 20).ShouldBeNear((255, 255, 255), 4);
        Scene.Colour(drawn, 150, 100).ShouldBeNear((0, 255, 0), 200);
    }

    private static Picture White(int width, int height)
    {
        var pixels = new byte[width * height * 3];
        pixels.AsSpan().Fill(255);
        return Picture.Decode(PictureEncoder.Encode(pixels, width, height, PictureFormat.Png), new ImagingLimits());
    }
}
