using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Tensors;

namespace Myelin.Inference.Tasks;

/// <summary>A loaded task together with the source of its networks, disposed after it.</summary>
internal sealed class SourcedTask(ITask task, IRuntimeSource source) : ITask, ITensorTask, IRuntimeHealth
{
    public IRuntime? Network => (task as ITensorTask)?.Network;

    public IReadOnlyList<ModelError> Broken => source is IRuntimeHealth sidecar ? sidecar.Broken : [];

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        try
        {
            return await task.RunAsync(input, progress, cancellationToken).ConfigureAwait(false);
        }
        catch (InputException refusal) when (refusal.Cause is not null)
        {
            throw await refusal.ExplainedAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Nothing of this process's where a sidecar or a GPU computes.</summary>
    public MemoryNeed MemoryOf(TaskInput input) => source.ComputesHere ? task.MemoryOf(input) : default;

    public MemoryNeed MemoryOf(IReadOnlyList<Tensor> inputs) => source.ComputesHere && task is ITensorTask tensors ? tensors.MemoryOf(inputs) : default;

    public async ValueTask DisposeAsync()
    {
        await task.DisposeAsync().ConfigureAwait(false);
        await source.DisposeAsync().ConfigureAwait(false);
    }
}
