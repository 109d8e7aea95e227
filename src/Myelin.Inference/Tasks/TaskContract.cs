using System.Text.Json;

namespace Myelin.Inference.Tasks;

/// <summary>
/// What a task takes from a caller, as data: the gateway checks submissions with it without loading the model,
/// <c>/v1/models</c> shows it, the page and the CLI build their forms from it.
/// </summary>
public sealed record TaskContract(string Task, IReadOnlyList<FileSpec> Files, IReadOnlyList<ParameterSpec> Parameters)
{
    /// <summary>Parameters that are not listed are passed on as they are: a sidecar does the task and knows them.</summary>
    public bool Open { get; init; }
}

/// <param name="Name">Part name in multipart, key of <c>input</c> in JSON.</param>
/// <param name="Kind"><c>image</c>, <c>json</c> or <c>file</c> (any bytes).</param>
/// <param name="Required">False for an optional part.</param>
/// <param name="Description">For a person.</param>
public sealed record FileSpec(string Name, string Kind, bool Required, string Description);

/// <param name="Name">camelCase, as on the wire.</param>
/// <param name="Type"><c>number</c>, <c>integer</c>, <c>string</c> or <c>boolean</c>.</param>
/// <param name="Description">For a person; gives units.</param>
public sealed record ParameterSpec(string Name, string Type, string Description)
{
    /// <summary>Smallest number, or shortest string.</summary>
    public double? Minimum { get; init; }

    /// <summary>Largest number, or longest string.</summary>
    public double? Maximum { get; init; }

    /// <summary>Numbers must be a multiple of this.</summary>
    public double? MultipleOf { get; init; }

    /// <summary>The only strings allowed.</summary>
    public IReadOnlyList<string>? Choices { get; init; }

    /// <summary>What applies when the caller says nothing.</summary>
    public JsonElement? Default { get; init; }

    public bool Required { get; init; }
}
