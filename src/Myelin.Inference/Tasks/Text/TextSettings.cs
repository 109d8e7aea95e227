using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Text;

/// <summary>Section <c>detection</c>: a differentiable-binarization network that marks text.</summary>
/// <param name="File">Weights in the revision's folder.</param>
/// <param name="MinSide">The shorter side is enlarged to at least this, in pixels.</param>
/// <param name="MaxMegapixels">A picture that would be larger than this is reduced to it.</param>
/// <param name="Threshold">Probability from which a pixel is text.</param>
/// <param name="BoxThreshold">Mean probability from which a region is one.</param>
/// <param name="Unclip">How far a region grows: the network marks the core of a line only.</param>
internal sealed record TextDetectionSettings(string File, int MinSide, double MaxMegapixels, double Threshold, double BoxThreshold, double Unclip)
{
    public static TextDetectionSettings Bind(SettingsReader reader) => new(
        reader.Text("file") ?? "detection.onnx",
        reader.Integer("minSide", 32, 4096) ?? 736,
        reader.Number("maxMegapixels", 0.1, 64) ?? 4,
        reader.Number("threshold", 0, 1) ?? 0.3,
        reader.Number("boxThreshold", 0, 1) ?? 0.5,
        reader.Number("unclip", 0, 10) ?? 1.6);
}

/// <summary>Section <c>recognition</c>: a network that reads one line, with connectionist temporal classification.</summary>
/// <param name="File">Weights in the revision's folder.</param>
/// <param name="Keys">File with one symbol a line; class 0 is blank, the last class is a space.</param>
/// <param name="Height">Lines are scaled to this height.</param>
/// <param name="Width">Shorter lines are padded to this width.</param>
/// <param name="MaxWidth">Longer lines are squeezed to this width.</param>
/// <param name="Batch">Lines read in one call.</param>
/// <param name="Threshold">Mean score from which a reading is reported.</param>
internal sealed record TextReadingSettings(string File, string Keys, int Height, int Width, int MaxWidth, int Batch, double Threshold)
{
    public static TextReadingSettings Bind(SettingsReader reader) => new(
        reader.Text("file") ?? "recognition.onnx",
        reader.Text("keys") ?? "keys.txt",
        reader.Integer("height", 8, 256) ?? 48,
        reader.Integer("width", 16, 4096) ?? 320,
        reader.Integer("maxWidth", 16, 16_384) ?? 3200,
        reader.Integer("batch", 1, 64) ?? 6,
        reader.Number("threshold", 0, 1) ?? 0.5);
}

internal sealed record TextSettings(TextDetectionSettings Detection, TextReadingSettings Reading)
{
    public static TextSettings Bind(SettingsReader reader) =>
        new(TextDetectionSettings.Bind(reader.Section("detection")), TextReadingSettings.Bind(reader.Section("recognition")));
}
