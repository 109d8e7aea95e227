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

    /// <summary>Why a broken model cannot be used: every error at once, each naming file, key and cure.</summary>
    public IReadOnlyList<ModelProblem> Errors { get; init; } = [];

    public ModelStatistics? Statistics { get; init; }
}

public sealed record ModelInput(string Name, string Kind, bool Required, string Description);

public sealed record ModelParameter(string Name, string Type, string Description)
{
    public double? Minimum { get; init; }

    public double? Maximum { get; init; }

    public double? MultipleOf { get; init; }

    public IReadOnlyList<string>? Choices { get; init; }

    public JsonElement? Default { get; init; }

    public bool Required { get; init; }
}

public sealed record ModelProblem(string File, string Key, string Message);

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
