namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>
/// One run of a sampler: the schedule, and what it remembers between steps. Made for one picture, used by one thread.
/// The caller walks <see cref="Timesteps"/>: scale the input, run the network, step.
/// </summary>
internal interface ISampler
{
    /// <summary>What the network is told at each evaluation; samplers of second order evaluate more often than asked steps.</summary>
    IReadOnlyList<float> Timesteps { get; }

    /// <summary>The first latent is noise times this.</summary>
    float InitialSigma { get; }

    /// <summary>Writes what the network gets in place of <paramref name="sample"/> at evaluation <paramref name="index"/>.</summary>
    void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled);

    /// <summary>Takes the network's output and moves <paramref name="sample"/> (in place) one evaluation on.</summary>
    void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise);

    /// <summary>Writes <paramref name="original"/> as it would look at evaluation <paramref name="index"/>, noised.</summary>
    void AddNoise(int index, ReadOnlySpan<float> original, ReadOnlySpan<float> noise, Span<float> into);
}
