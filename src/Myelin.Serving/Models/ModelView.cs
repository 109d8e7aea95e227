using Myelin.Inference.Models;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

/// <summary>Between an entry and its wire form, which is also what workers tell each other of their models.</summary>
internal static class ModelView
{
    public static Model Of(ModelEntry model, ModelLoader loader) => model.Elsewhere ?? new Model
    {
        Id = model.Name,
        Name = model.Name,
        Created = model.Definition?.Created.ToUnixTimeSeconds() ?? 0,
        Task = model.Definition?.Task,
        Description = model.Definition?.Description,
        Licence = model.Definition?.Licence,
        Source = model.Definition?.Source,
        State = model.State.ToString().ToLowerInvariant(),
        Revisions = model.Revisions,
        Labels = model.Definition?.Labels ?? [],
        Inputs = model.Contract?.Files ?? [],
        Parameters = model.Contract?.Parameters ?? [],
        OpenParameters = model.Contract is { Open: true } ? true : null,
        Errors = [.. model.Errors.Select(e => new ModelProblem(e.File, e.Key, e.Message) { Log = e.Log })],
        Runtime = model.Definition is { } definition ? loader.Describe(definition) : null,
    };

    /// <summary>Without what only those may read who manage models.</summary>
    public static Model WithoutLogs(this Model model) => model with
    {
        Errors = [.. model.Errors.Select(e => e with { Log = null })],
        Runtime = model.Runtime is { } runtime ? runtime with { Processes = [.. runtime.Processes.Select(p => p with { Log = null })] } : null,
    };

    /// <summary>The entry of a model that another process has: enough to check submissions and to show it.</summary>
    public static ModelEntry Entry(Model model) => new()
    {
        Name = model.Name,
        State = Enum.TryParse<ModelState>(model.State, ignoreCase: true, out var state) ? state : ModelState.Broken,
        Contract = model.Task is null ? null : new TaskContract(model.Task, model.Inputs, model.Parameters) { Open = model.OpenParameters is true },
        Revisions = model.Revisions,
        Errors = [.. model.Errors.Select(e => new ModelError(e.File, e.Key, e.Message) { Log = e.Log })],
        Elsewhere = model,
    };
}
