using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks;

/// <summary>All that the library knows of one task: one row of <see cref="TaskKinds"/>.</summary>
/// <param name="Name">One of <see cref="TaskNames"/>.</param>
/// <param name="Check">Reads every key of the task's sections of <c>model.yaml</c>, given the labels; collects what is wrong.</param>
/// <param name="Weights">Files that each revision must hold, with the key that names each (empty for the default).</param>
/// <param name="Contract">What a caller gives.</param>
/// <param name="Create">Opens the networks, which the task then owns; the source stays the caller's. Throws <see cref="ModelException"/> or <see cref="RuntimeException"/>.</param>
internal sealed record TaskKind(
    string Name,
    Action<SettingsReader, IReadOnlyList<string>> Check,
    Func<ModelDefinition, IReadOnlyList<(string Key, string File)>> Weights,
    Func<ModelDefinition, TaskContract> Contract,
    Func<ModelDefinition, IRuntimeSource, ImagingLimits, CancellationToken, Task<ITask>> Create)
{
    /// <summary>Files of the networks that the task of this model asks for.</summary>
    public IReadOnlyList<string> Networks(ModelDefinition definition) =>
        [.. Weights(definition).Select(weight => weight.File).Where(file => file.EndsWith(".onnx", StringComparison.Ordinal))];
}
