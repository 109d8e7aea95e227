using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>Sections <c>defaults</c>, <c>limits</c> and <c>components</c> of a text-to-image model; null leaves it to the folder.</summary>
internal sealed record TextToImageSettings
{
    public int? Steps { get; init; }

    public double? Guidance { get; init; }

    public string? Sampler { get; init; }

    public int? Width { get; init; }

    public int? Height { get; init; }

    public double? Strength { get; init; }

    /// <summary>Shortest side, pixels.</summary>
    public int MinSize { get; init; } = 64;

    /// <summary>Longest side, pixels; null: twice what the network was trained for (<see cref="TextToImageContract.Largest"/>).</summary>
    public int? MaxSize { get; init; }

    public int MaxSteps { get; init; } = 150;

    public int MaxCount { get; init; } = 8;

    /// <summary>Characters of a prompt. The encoders read 77 tokens, some 300 characters; the rest is room for habits.</summary>
    public int MaxPrompt { get; init; } = 4000;

    public ComponentOptions Components { get; init; } = new();

    public static TextToImageSettings Bind(SettingsReader reader)
    {
        var (defaults, limits, components) = (reader.Section("defaults"), reader.Section("limits"), reader.Section("components"));
        var (otherwise, budget) = (new TextToImageSettings(), new ComponentOptions());
        return new TextToImageSettings
        {
            Steps = defaults.Integer("steps", 1, 1000),
            Guidance = defaults.Number("guidance", 0, 50),
            Sampler = defaults.Text("sampler", choices: SamplerNames.All),
            Width = defaults.Integer("width", 8, 8192),
            Height = defaults.Integer("height", 8, 8192),
            Strength = defaults.Number("strength", 0, 1),
            MinSize = limits.Integer("minSize", 8, 8192) ?? otherwise.MinSize,
            MaxSize = limits.Integer("maxSize", 8, 8192),
            MaxSteps = limits.Integer("maxSteps", 1, 1000) ?? otherwise.MaxSteps,
            MaxCount = limits.Integer("maxCount", 1, 64) ?? otherwise.MaxCount,
            MaxPrompt = limits.Integer("maxPrompt", 1, 100_000) ?? otherwise.MaxPrompt,
            Components = budget with
            {
                MemoryBudget = components.Integer("memoryMiB", 1, 1 << 20) is { } mebibytes ? (long)mebibytes << 20 : budget.MemoryBudget,
                IdleRelease = components.Duration("idle", TimeSpan.FromDays(1)) ?? budget.IdleRelease,
            },
        };
    }
}
