using System.Text.Json;

namespace Myelin.Inference.Models;

/// <summary>
/// A validated <c>model.yaml</c> and the folder of one revision. Immutable. Task-specific sections (<c>input</c>,
/// <c>output</c>, <c>detection</c>, <c>recognition</c>, <c>defaults</c> …) stay as JSON in <see cref="Settings"/> and are
/// bound by the task that owns them.
/// </summary>
public sealed record ModelDefinition
{
    /// <summary>Lower-case letters, digits, <c>-</c>, <c>_</c>, <c>.</c>; at most 64.</summary>
    public required string Name { get; init; }

    /// <summary>Name of the revision's folder, such as <c>1</c>.</summary>
    public required string Revision { get; init; }

    /// <summary>One of <see cref="TaskNames"/>.</summary>
    public required string Task { get; init; }

    /// <summary>Absolute path of the folder with <c>model.yaml</c>.</summary>
    public required string ModelFolder { get; init; }

    /// <summary>Absolute path of the revision's folder with the weights.</summary>
    public required string Folder { get; init; }

    public string? Description { get; init; }

    public string? Licence { get; init; }

    public string? Source { get; init; }

    public ModelInstances Instances { get; init; } = new();

    /// <summary>Null where the worker itself executes the model.</summary>
    public ModelSidecar? Sidecar { get; init; }

    /// <summary>The whole YAML as JSON.</summary>
    public JsonElement Settings { get; init; }

    /// <summary>Class names in order; empty where the task has none.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    public DateTimeOffset Created { get; init; }
}

/// <summary>How many copies of a network run at the same time, and where.</summary>
public sealed record ModelInstances
{
    public int Count { get; init; } = 1;

    /// <summary><c>cpu</c> or <c>cuda</c>, with an index as in <c>cuda:0</c>.</summary>
    public string Device { get; init; } = "cpu";
}

public static class TaskNames
{
    public const string ObjectDetection = "object-detection";
    public const string InstanceSegmentation = "instance-segmentation";
    public const string SemanticSegmentation = "semantic-segmentation";
    public const string ImageClassification = "image-classification";
    public const string ImageToImage = "image-to-image";
    public const string TextToImage = "text-to-image";
    public const string TextRecognition = "text-recognition";
    public const string TextClassification = "text-classification";
    public const string Embedding = "embedding";
    public const string Tensor = "tensor";
}
