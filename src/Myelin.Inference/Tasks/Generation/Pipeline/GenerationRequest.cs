namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>One request with everything filled in and checked.</summary>
internal sealed record GenerationRequest
{
    public required string Prompt { get; init; }

    /// <summary>Null: none was given.</summary>
    public string? NegativePrompt { get; init; }

    public required int Steps { get; init; }

    public required double Guidance { get; init; }

    /// <summary>A public sampler name.</summary>
    public required string Sampler { get; init; }

    public required ulong Seed { get; init; }

    /// <summary>Pixels that the network makes.</summary>
    public required int Width { get; init; }

    public required int Height { get; init; }

    /// <summary>Pixels of the picture that is handed out.</summary>
    public (int Width, int Height) Output { get => field == default ? (Width, Height) : field; init; }

    public bool Resized => Output != (Width, Height);

    public int Count { get; init; } = 1;

    /// <summary>How much of a given picture is made anew: 1 all, 0 nothing. 1 without a picture.</summary>
    public double Strength { get; init; } = 1;

    /// <summary>A picture to begin with: planar RGB, −1 to 1, <see cref="Width"/> × <see cref="Height"/>.</summary>
    public float[]? Image { get; init; }

    /// <summary>Per pixel 1 where the picture is made anew, 0 where it is kept.</summary>
    public float[]? Mask { get; init; }
}

/// <summary>Where a picture stands after an evaluation of the network.</summary>
/// <param name="Done">Evaluations done.</param>
/// <param name="Total">Evaluations in all.</param>
/// <param name="Latent">Valid during the call only.</param>
internal readonly record struct GenerationStep(int Done, int Total, ReadOnlyMemory<float> Latent);
