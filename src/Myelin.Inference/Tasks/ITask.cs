using System.Text.Json;

namespace Myelin.Inference.Tasks;

/// <summary>
/// What a loaded model does for a person: check → preprocess → one or more runtime calls → postprocess → result.
/// Safe for concurrent calls. Made by a factory from a <see cref="Models.ModelDefinition"/>; owns its runtimes.
/// </summary>
public interface ITask : IAsyncDisposable
{
    /// <exception cref="InputException">The input is wrong; names the field and the cure. Never worth a repeat.</exception>
    /// <exception cref="Runtimes.RuntimeException">The runtime failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken);

    /// <summary>What a call with this input takes. Reads parameters and headers only; input that is wrong counts as nothing, the call refuses it.</summary>
    MemoryNeed MemoryOf(TaskInput input) => default;
}

/// <summary>Everything a task reads. Parameters have been checked against the task's contract; defaults are filled in by the task.</summary>
/// <param name="Files">Input blobs by part name (<c>image</c>, <c>mask</c> …).</param>
/// <param name="Parameters">A JSON object.</param>
public sealed record TaskInput(IReadOnlyDictionary<string, TaskFile> Files, JsonElement Parameters);

/// <param name="ContentType">As the caller declared it; the task trusts only the bytes.</param>
/// <param name="Bytes">The blob, already within the limits of the options.</param>
public sealed record TaskFile(string ContentType, ReadOnlyMemory<byte> Bytes)
{
    /// <summary>A picture's, once it was read: for the estimate, then for the call.</summary>
    internal Imaging.PictureHeader? Header { get; set; }
}

/// <param name="Json">The result as UTF-8 JSON (an object).</param>
/// <param name="Artifacts">Blobs beside it, such as <c>annotated.jpg</c>.</param>
public sealed record TaskResult(ReadOnlyMemory<byte> Json, IReadOnlyList<TaskArtifact> Artifacts);

/// <param name="Name">File name, unique within the job.</param>
/// <param name="ContentType">MIME type.</param>
/// <param name="Bytes">The content.</param>
public sealed record TaskArtifact(string Name, string ContentType, ReadOnlyMemory<byte> Bytes);

/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="SecondsPerStep">Measured; null before the first step.</param>
/// <param name="Preview">A small JPEG of what there is so far, or null.</param>
public sealed record TaskProgress(int Step, int Steps, double? SecondsPerStep = null, ReadOnlyMemory<byte>? Preview = null);
