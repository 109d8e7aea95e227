using Myelin.Inference.Runtimes;

namespace Myelin.Sidecar;

/// <summary>
/// A network, or any function over tensors, that becomes a sidecar: derive, load, infer, and hand it to
/// <see cref="SidecarHost"/>, which serves it over the sidecar protocol (UDS) and the Open Inference Protocol (HTTP).
/// </summary>
public abstract class SidecarModel : IAsyncDisposable
{
    /// <summary>The name that callers use.</summary>
    public virtual string Name => "model";

    public virtual string Version => "1";

    /// <summary>Where the model does a whole task (files and parameters in, result and artifacts out): the task's name. See <see cref="RuntimeCapabilities.Task"/>.</summary>
    public virtual string? TaskName => null;

    /// <summary>Calls of <see cref="InferAsync"/> at the same time; further ones wait inside the sidecar.</summary>
    public virtual int Concurrency => 1;

    /// <summary>Calls report progress.</summary>
    public virtual bool Progress => false;

    /// <summary>What <see cref="InferAsync"/> takes; read after <see cref="LoadAsync"/>. Empty: anything.</summary>
    public virtual IReadOnlyList<TensorSpec> Inputs => [];

    /// <summary>What <see cref="InferAsync"/> gives; read after <see cref="LoadAsync"/>. Empty: not said.</summary>
    public virtual IReadOnlyList<TensorSpec> Outputs => [];

    /// <summary>Makes the model ready. An exception is shown to the people who run the worker and ends the sidecar.</summary>
    public virtual ValueTask LoadAsync(SidecarContext context, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>
    /// Computes one call. The inputs are lent until this returns: copy what is to be kept. Tensors made by
    /// <see cref="SidecarCall.Rent"/> reach the caller without a copy.
    /// </summary>
    /// <returns>The outputs; disposed by the host once they are sent.</returns>
    /// <exception cref="RuntimeException">The caller's fault or the network's; says whether a repeat can help.</exception>
    public abstract ValueTask<TensorSet> InferAsync(SidecarCall call, CancellationToken cancellationToken);

    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}
