using System.Text.Json;

namespace Myelin.Inference.Tasks;

/// <summary>Parameters that several tasks take.</summary>
internal static class ParameterSpecs
{
    public static ModelParameter Threshold(double otherwise) =>
        Number("threshold", "Smallest score, 0 to 1, that is reported", 0, 1, otherwise);

    public static ModelParameter Annotate() =>
        new("annotate", "boolean", "Draw the findings on the picture and store it as annotated.jpg") { Default = JsonSerializer.SerializeToElement(true) };

    public static ModelParameter Number(string name, string description, double minimum, double maximum, double otherwise) =>
        new(name, "number", description) { Minimum = minimum, Maximum = maximum, Default = JsonSerializer.SerializeToElement(otherwise) };

    public static ModelParameter Integer(string name, string description, int minimum, int maximum, int otherwise) =>
        new(name, "integer", description) { Minimum = minimum, Maximum = maximum, Default = JsonSerializer.SerializeToElement(otherwise) };

    public static ModelInput Image { get; } = new("image", "image", Required: true, "The picture: JPEG, PNG, WebP, AVIF, GIF (first frame) or TIFF");
}
