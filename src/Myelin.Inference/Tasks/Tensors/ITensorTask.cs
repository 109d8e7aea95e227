using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Tensors;

/// <summary>A task that may be nothing but its network: then tensors go to it without a detour over JSON.</summary>
public interface ITensorTask
{
    /// <summary>Null where the task does more than run a network.</summary>
    IRuntime? Network { get; }

    /// <summary>What a call with these tensors takes; as <see cref="ITask.MemoryOf"/>.</summary>
    MemoryNeed MemoryOf(IReadOnlyList<Tensor> inputs);
}
