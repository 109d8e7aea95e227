using System.Text.Json;
using System.Text.Json.Serialization;

namespace Myelin.Protocol;

/// <summary>A model as <c>/v1/models</c> shows it; <c>id, object, created, owned_by</c> answer OpenAI's clients.</summary>
public sealed record Model
{
    public required string Id { get; init; }

    public string Object { get; init; } = "model";

    /// <summary>Unix seconds.</summary>
    public long Created { get; init; }

    [JsonPropertyName("owned_by")]
    public string OwnedBy { get; init; } = "myelin";

    public required string Name { get; init; }

    public string? Task { get; init; }

    public string? Description { get; init; }

    public string? Licence { get; init; }

    public string? Source { get; init; }

    /// <summary><c>available</c> (loads on demand), <c>loading</c>, <c>ready</c> or <c>broken</c>.</summary>
    public required string State { get; init; }

    public IReadOnlyList<string> Revisions { get; init; } = [];

    public IReadOnlyList<string> Labels { get; init; } = [];

    public IReadOnlyList<ModelInput> Inputs { get; init; } = [];

    public IReadOnlyList<ModelParameter> Parameters { get; init; } = [];

    /// <summary>True where parameters that are not listed are passed on: a sidecar does the task and knows them.</summary>
    public bool? OpenParameters { get; init; }

    /// <summary>Live workers that have it and could run it; at 0 jobs for it wait. Null where one process does everything.</summary>
    public int? Workers { get; init; }

    /// <summary>Why a broken model cannot be used: every error at once, each naming file, key and cure.</summary>
    public IReadOnlyList<ModelProblem> Errors { get; init; } = [];

    public ModelStatistics? Statistics { get; init; }

    /// <summary>What executes it; null for a model whose folder does not validate.</summary>
    public ModelRuntime? Runtime { get; init; }
}

/// <summary>What executes a model.</summary>
/// <param name="Kind"><c>onnx</c> (in the worker's process) or <c>sidecar</c>.</param>
/// <param name="Transport"><c>native</c>, <c>uds</c> or <c>http</c>.</param>
public sealed record ModelRuntime(string Kind, string Transport)
{
    /// <summary>Of a sidecar: <c>starting</c>, <c>ready</c>, <c>restarting</c>, <c>broken</c> or <c>stopping</c>; null while none is wanted.</summary>
    public string? State { get; init; }

    /// <summary>What the sidecar calls itself, such as <c>myelin-python/0.1.0</c>.</summary>
    public string? Product { get; init; }

    /// <summary>The version of the network that the sidecar says it serves.</summary>
    public string? Version { get; init; }

    /// <summary>Starts and connections after the first, since the model was loaded.</summary>
    public int Restarts { get; init; }

    public IReadOnlyList<ModelProcess> Processes { get; init; } = [];
}

/// <summary>A process that executes a model, or an address where one does.</summary>
/// <param name="State">As <see cref="ModelRuntime.State"/>.</param>
/// <param name="Pid">Null for one that others run.</param>
/// <param name="Calls">Under way.</param>
/// <param name="Limits">How limits of memory and processors are held: <c>cgroup</c>, <c>rlimit</c>, <c>none</c>; null where none are set.</param>
/// <param name="Error">Why it is not ready.</param>
/// <param name="Log">With <paramref name="Error"/>: the last lines that it wrote; only for those who may manage models.</param>
public sealed record ModelProcess(string Address, string State, int? Pid, int Restarts, int Calls, string? Limits, string? Error, string? Log = null);

/// <summary>A file that a model takes.</summary>
/// <param name="Name">Part name in multipart, key of <c>input</c> in JSON.</param>
/// <param name="Kind"><c>image</c>, <c>json</c> or <c>file</c> (any bytes).</param>
/// <param name="Required">False for an optional part.</param>
/// <param name="Description">For a person.</param>
public sealed record ModelInput(string Name, string Kind, bool Required, string Description);

/// <param name="Name">camelCase, as on the wire.</param>
/// <param name="Type"><c>number</c>, <c>integer</c>, <c>string</c> or <c>boolean</c>.</param>
/// <param name="Description">For a person; gives units.</param>
public sealed record ModelParameter(string Name, string Type, string Description)
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

public sealed record ModelProblem(string File, string Key, string Message)
{
    /// <summary>The last lines that the model's process wrote; only for those who may manage models.</summary>
    public string? Log { get; init; }
}

/// <summary>Since the start of the process.</summary>
public sealed record ModelStatistics(long Succeeded, long Failed, int Queued, int Running, double? MeanSeconds);

/// <summary>A known public model that can be installed.</summary>
public sealed record CatalogueEntry
{
    public required string Name { get; init; }

    public required string Task { get; init; }

    public string? Description { get; init; }

    public string? Licence { get; init; }

    public string? Source { get; init; }

    /// <summary>Bytes to fetch.</summary>
    public long Size { get; init; }

    public bool Installed { get; init; }

    /// <summary>False while nobody has run it here.</summary>
    public bool Verified { get; init; } = true;
}
