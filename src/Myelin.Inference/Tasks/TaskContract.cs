namespace Myelin.Inference.Tasks;

/// <summary>
/// What a task takes from a caller, as data: the gateway checks submissions with it without loading the model,
/// <c>/v1/models</c> shows it, the page and the CLI build their forms from it.
/// </summary>
public sealed record TaskContract(string Task, IReadOnlyList<ModelInput> Files, IReadOnlyList<ModelParameter> Parameters)
{
    /// <summary>Parameters that are not listed are passed on as they are: a sidecar does the task and knows them.</summary>
    public bool Open { get; init; }
}
