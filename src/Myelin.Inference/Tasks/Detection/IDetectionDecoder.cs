using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>A network family's way of writing finds into its outputs. Stateless.</summary>
internal interface IDetectionDecoder
{
    /// <summary>What is wrong with the network's outputs for this family and input size, or null.</summary>
    string? Misfit(IReadOnlyList<TensorSpec> outputs, int width, int height, int classes);

    /// <summary>Names of the keypoints in order; empty where the family has none.</summary>
    IReadOnlyList<string> Keypoints { get; }

    /// <summary>Adds candidates of at least <paramref name="threshold"/> in pixels of the network's input.</summary>
    void Decode(TensorSet outputs, int width, int height, float threshold, List<Detection> candidates);
}
