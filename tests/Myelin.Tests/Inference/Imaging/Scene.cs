using Myelin.Inference.Imaging;
using Myelin.Testing;
using Shouldly;

namespace Myelin.Tests.Inference.Imaging;

internal static class Scene
{
    public static byte[] Read(string file) =>
        File.ReadAllBytes(Path.Combine(Shared.Root, "tests", "Myelin.Tests", "Inference", "Imaging", "Pictures", file));

    public static (int Red, int Green, int Blue) Colour(Picture picture, int x, int y)
    {
        var at = ((y * picture.Width) + x) * 3;
        var pixels = picture.Pixels.Span;
        return (pixels[at], pixels[at + 1], pixels[at + 2]);
    }

    public static void ShouldBeNear(this (int Red, int Green, int Blue) colour, (int Red, int Green, int Blue) wanted, int tolerance)
    {
        var distance = Math.Max(Math.Abs(colour.Red - wanted.Red), Math.Max(Math.Abs(colour.Green - wanted.Green), Math.Abs(colour.Blue - wanted.Blue)));
        distance.ShouldBeLessThanOrEqualTo(tolerance, $"{colour} is not {wanted}");
    }
}
