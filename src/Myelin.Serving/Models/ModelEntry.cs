using Myelin.Inference.Models;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

internal enum ModelState
{
    /// <summary>Valid, not loaded; loads on demand.</summary>
    Available,
    Loading,
    Ready,
    Broken,
}

/// <summary>A snapshot of one model of the repository. Immutable.</summary>
internal sealed record ModelEntry
{
    public required string Name { get; init; }

    public required ModelState State { get; init; }

    /// <summary>Null for a model whose folder does not validate.</summary>
    public ModelDefinition? Definition { get; init; }

    /// <summary>What callers may send; null where <see cref="Definition"/> is.</summary>
    public TaskContract? Contract { get; init; }

    public IReadOnlyList<string> Revisions { get; init; } = [];

    public IReadOnlyList<ModelError> Errors { get; init; } = [];

    /// <summary>Of a model that only other processes have: how they show it; then there is no <see cref="Definition"/>.</summary>
    public Model? Elsewhere { get; init; }

    /// <summary>One of <see cref="TaskNames"/>; null for a model whose folder does not validate.</summary>
    public string? Task => Contract?.Task;
}
