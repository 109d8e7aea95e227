using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>The samplers that a text-to-image job may name.</summary>
public static class Samplers
{
    /// <summary>Name in our API, and the title under which AUTOMATIC1111 and its clients know it; in the order shown to people.</summary>
    public static IReadOnlyList<(string Name, string Title)> All { get; } = [.. SamplerNames.All.Select(name => (name, SamplerNames.A1111(name)))];
}
