namespace Myelin.Inference.Runtimes;

/// <summary>
/// Where the networks of one revision come from: files that this process executes, or a sidecar. A task asks for its
/// networks by the names of their files and does not know which it has. Owner: the loaded task.
/// </summary>
public interface IRuntimeSource : IAsyncDisposable
{
    /// <summary>One of <see cref="Models.TaskNames"/> where the other side does the whole task; null where it only executes networks.</summary>
    string? DeclaredTask { get; }

    /// <summary>Whether calls compute in this process's memory: not those of a sidecar or a GPU.</summary>
    bool ComputesHere { get; }

    /// <summary>Opens a network. The runtime is the caller's, who disposes it before the source.</summary>
    /// <param name="file">Path of its file within the revision's folder: <c>model.onnx</c>, <c>unet/model.onnx</c>.</param>
    /// <param name="cancellationToken">Gives up waiting; a native load that has begun goes on and is dropped.</param>
    /// <exception cref="RuntimeException">There is no such network, or it does not load.</exception>
    ValueTask<IRuntime> OpenAsync(string file, CancellationToken cancellationToken);

    /// <summary>Whether <see cref="OpenAsync"/> has such a network, as far as can be told without loading it.</summary>
    bool Has(string file);

    /// <summary>Memory that opening <paramref name="file"/> takes in this process, about; 0 where another process holds the weights.</summary>
    long Bytes(string file);
}
