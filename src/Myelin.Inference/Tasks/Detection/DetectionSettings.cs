using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>Sections <c>input</c> and <c>output</c> of a detector.</summary>
internal sealed record DetectionSettings(ImageInput Input, string Decoder, double Threshold, double Iou, int MaxDetections)
{
    private static readonly Dictionary<string, IDetectionDecoder> s_decoders = new(StringComparer.Ordinal)
    {
        ["blazeface"] = new BlazeFaceDecoder(),
        ["fastestdet"] = new FastestDetDecoder(),
        ["ultraface"] = new UltraFaceDecoder(),
        ["yolox"] = new YoloXDecoder(),
        ["yunet"] = new YuNetDecoder(),
    };

    public IDetectionDecoder ToDecoder() => s_decoders[Decoder];

    public static DetectionSettings Bind(SettingsReader reader)
    {
        var input = ImageInput.Bind(reader.Section("input"));
        var output = reader.Section("output");
        return new DetectionSettings(
            input,
            output.Text("decoder", required: true, choices: [.. s_decoders.Keys]) ?? "",
            output.Number("threshold", 0, 1) ?? 0.5,
            output.Number("iou", 0, 1) ?? 0.45,
            output.Integer("maxDetections", 1, 10_000) ?? 300);
    }

    public static void Check(SettingsReader reader, IReadOnlyList<string> labels)
    {
        Bind(reader);
        if (labels.Count == 0 && !reader.Has("labels"))
        {
            reader.Error("labels", "is missing; a file with one class name a line, or a list such as [face]");
        }
    }
}
