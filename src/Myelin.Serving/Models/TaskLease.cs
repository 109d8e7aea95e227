using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

/// <summary>A hold on a loaded task: it is not unloaded before the lease is disposed. Dispose once.</summary>
internal sealed class TaskLease(ITask task, Action release) : IDisposable
{
    private Action? _release = release;

    public ITask Task { get; } = task;

    public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
}
