namespace Myelin.Inference.Models;

/// <summary>One thing wrong with a model folder.</summary>
/// <param name="File">File within the model folder, such as <c>model.yaml</c>.</param>
/// <param name="Key">Key within it, such as <c>input.size</c>; empty for the whole file.</param>
/// <param name="Message">What is wrong and the cure.</param>
public sealed record ModelError(string File, string Key, string Message)
{
    /// <summary>
    /// The last lines that the model's process wrote; null where there are none. Other people's inputs may be among them:
    /// they are for whoever manages models, never part of a message.
    /// </summary>
    public string? Log { get; init; }
}

/// <summary>A model cannot be used; lists everything that is wrong at once.</summary>
public sealed class ModelException(IReadOnlyList<ModelError> errors)
    : Exception(string.Join("; ", errors.Select(e => $"{e.File}{(e.Key.Length == 0 ? "" : $" ({e.Key})")}: {e.Message}")))
{
    public IReadOnlyList<ModelError> Errors { get; } = errors;

    /// <summary>Nothing here needs mending: what the model needs was not there, and may be the next time.</summary>
    public bool Transient { get; init; }
}
