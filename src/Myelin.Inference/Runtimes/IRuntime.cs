namespace Myelin.Inference.Runtimes;

/// <summary>
/// What executes one network. Safe for concurrent calls. Implementations: <c>OnnxRuntime</c> (native, in process),
/// <c>UdsRuntime</c> and <c>HttpRuntime</c> (another process); no other code knows which it has. One conformance suite
/// holds for all.
/// </summary>
public interface IRuntime : IAsyncDisposable
{
    /// <summary>What the network takes; empty where it takes anything.</summary>
    IReadOnlyList<TensorSpec> Inputs { get; }

    /// <summary>What the network gives; empty where that is not known before.</summary>
    IReadOnlyList<TensorSpec> Outputs { get; }

    RuntimeCapabilities Capabilities { get; }

    /// <summary>Counters since the start; a consistent enough picture, not a snapshot.</summary>
    RuntimeStatistics Statistics { get; }

    /// <summary>
    /// A tensor to fill and to give to <see cref="InferAsync"/>: in memory that the runtime need not copy, where it has
    /// such and some is free. The content is not cleared.
    /// </summary>
    Tensor Rent(string name, ElementType type, params long[] shape) => Tensor.Rent(name, type, shape);

    /// <summary>
    /// Runs the network once. The inputs stay the caller's; the outputs belong to the caller, who disposes the set.
    /// A cancelled <paramref name="cancellationToken"/> interrupts the running call, not only the wait for it.
    /// </summary>
    /// <param name="inputs">One tensor per <see cref="Inputs"/>, matched by name.</param>
    /// <param name="progress">Told what the network reports of itself while it runs; called on any thread. Null: not wanted.</param>
    /// <param name="cancellationToken">Interrupts the call.</param>
    /// <exception cref="RuntimeException">The network refused the inputs or failed; says whether a repeat can help.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken);

    /// <summary>Refuses new calls and returns when the running ones have ended.</summary>
    ValueTask DrainAsync(CancellationToken cancellationToken);
}

public static class RuntimeExtensions
{
    /// <inheritdoc cref="IRuntime.InferAsync"/>
    public static ValueTask<TensorSet> InferAsync(this IRuntime runtime, IReadOnlyList<Tensor> inputs, CancellationToken cancellationToken) =>
        runtime.InferAsync(inputs, null, cancellationToken);
}
