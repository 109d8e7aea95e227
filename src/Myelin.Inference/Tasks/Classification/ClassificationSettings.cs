using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.Classification;

/// <summary>Sections <c>input</c> and <c>output</c> of a classifier.</summary>
/// <param name="Input">How the picture becomes a tensor.</param>
/// <param name="Softmax">The network gives logits; false where it gives probabilities.</param>
/// <param name="TopK">Classes reported.</param>
/// <param name="Threshold">Smallest score reported.</param>
internal sealed record ClassificationSettings(ImageInput Input, bool Softmax, int TopK, double Threshold)
{
    public static ClassificationSettings Bind(SettingsReader reader)
    {
        var input = ImageInput.Bind(reader.Section("input"));
        var output = reader.Section("output");
        return new ClassificationSettings(
            input, output.Flag("softmax") ?? false, output.Integer("topK", 1, 1000) ?? 5, output.Number("threshold", 0, 1) ?? 0);
    }

    public static void Check(SettingsReader reader, IReadOnlyList<string> labels)
    {
        Bind(reader);
        if (labels.Count == 0 && !reader.Has("labels"))
        {
            reader.Error("labels", "is missing; a file with one class name a line, or a list such as [cat, dog]");
        }
    }
}
