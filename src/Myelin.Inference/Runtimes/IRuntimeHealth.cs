using Myelin.Inference.Models;

namespace Myelin.Inference.Runtimes;

/// <summary>Whether what executes a loaded model still can.</summary>
public interface IRuntimeHealth
{
    /// <summary>Why the model can be called no more, until it is loaded again; empty while it can.</summary>
    IReadOnlyList<ModelError> Broken { get; }
}
