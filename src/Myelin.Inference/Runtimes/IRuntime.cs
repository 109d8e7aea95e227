namespace Myelin.Inference.Runtimes;

/// <summary>
/// What executes one network. Safe for concurrent calls. Implementations: <c>OnnxRuntime</c> (native, in process);
/// HTTP and UDS sidecars stand behind the same seam.
/// </summary>
public interface IRuntime : IAsyncDisposable
{
    IReadOnlyList<TensorSpec> Inputs { get; }

    IReadOnlyList<TensorSpec> Outputs { get; }

    /// <summary>
    /// Runs the network once. The inputs stay the caller's; the outputs belong to the caller, who disposes the set.
    /// A cancelled <paramref name="cancellationToken"/> interrupts the running call, not only the wait for it.
    /// </summary>
    /// <param name="inputs">One tensor per <see cref="Inputs"/>, matched by name.</param>
    /// <param name="cancellationToken">Interrupts the call.</param>
    /// <exception cref="RuntimeException">The network refused the inputs or failed; says whether a repeat can help.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, CancellationToken cancellationToken);
}
