using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Classification;
using Myelin.Inference.Tasks.Detection;
using Myelin.Inference.Tasks.Generation;
using Myelin.Inference.Tasks.ImageToImage;
using Myelin.Inference.Tasks.Tensors;
using Myelin.Inference.Tasks.Text;

namespace Myelin.Inference.Tasks;

/// <summary>The table of tasks. A new task is a folder beside this file and a row here.</summary>
internal static class TaskKinds
{
    private static readonly TaskKind[] s_table =
    [
        DetectionTask.Kind,
        ClassificationTask.Kind,
        TextRecognitionTask.Kind,
        TensorTask.Kind,
        TextToImageTask.Kind,
        ImageToImageTask.Kind,
    ];

    public static IReadOnlyList<string> Names { get; } = [.. s_table.Select(kind => kind.Name)];

    public static TaskKind? Find(string name) => s_table.FirstOrDefault(kind => kind.Name == name);

    public static ModelException Unknown(ModelDefinition definition) =>
        new([new ModelError("model.yaml", "task", $"is '{definition.Task}', but must be one of: {string.Join(", ", Names)}")]);
}
