using Myelin.Hosting.Configuration;

namespace Myelin.Serving.Models;

/// <summary>
/// The models that callers may use, wherever they run. A worker goes by its own folders first; a process without that
/// role by what workers registered, and by the folders it has where no worker ever spoke of a model: those give the
/// contract, so that work is taken before the first worker is up.
/// </summary>
internal sealed class ModelDirectory(ModelRepository own, IWorkerModels workers, MyelinOptions options)
{
    private readonly bool _runs = options.Runs(Role.Worker);

    /// <summary>Every model, broken ones too, by name.</summary>
    public IReadOnlyList<ModelEntry> List() =>
    [
        .. own.List().Select(m => m.Name).Union(workers.List().Select(m => m.Name)).Order(StringComparer.Ordinal).Select(Find).OfType<ModelEntry>(),
    ];

    public ModelEntry? Find(string name)
    {
        var (here, there) = (own.Find(name), workers.Find(name));
        var (first, second) = _runs ? (here, there) : (there, here);
        return first is null or { State: ModelState.Broken } && second is { State: not ModelState.Broken } ? second : first ?? second;
    }

    /// <summary>Live workers that could run it.</summary>
    public int Workers(string name) => workers.Count(name);
}
