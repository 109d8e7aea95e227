using System.Text.Json;
using Myelin.Inference.Runtimes;

namespace Myelin.Sidecar;

/// <summary>One call as the model sees it, whichever transport brought it.</summary>
public abstract class SidecarCall
{
    /// <summary>The inputs, lent until the call returns.</summary>
    public abstract TensorSet Inputs { get; }

    /// <summary>A JSON object; empty where the caller gave none.</summary>
    public abstract JsonElement Parameters { get; }

    /// <summary>An output to fill, in memory that reaches the caller without a copy where the transport has such.</summary>
    public virtual Tensor Rent(string name, ElementType type, params long[] shape) => Tensor.Rent(name, type, shape);

    /// <summary>Tells the caller how far the call has come; cheap where nobody listens.</summary>
    public abstract void Report(RuntimeProgress progress);
}
