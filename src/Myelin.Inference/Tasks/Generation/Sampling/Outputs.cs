namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>What a network's output says about the clean latent. Signal and noise are the factors of sample = signal·clean + noise·epsilon.</summary>
internal static class Outputs
{
    /// <summary>Writes the clean latent that <paramref name="output"/> predicts.</summary>
    public static void Clean(Prediction prediction, double signal, double noise, ReadOnlySpan<float> sample, ReadOnlySpan<float> output, Span<float> clean)
    {
        switch (prediction)
        {
            case Prediction.Epsilon:
                Linear.Sum(clean, 1 / signal, sample, -noise / signal, output);
                break;
            case Prediction.Velocity:
                Linear.Sum(clean, signal, sample, -noise, output);
                break;
            default:
                output.CopyTo(clean);
                break;
        }
    }

    /// <summary>Writes the noise that <paramref name="output"/> predicts.</summary>
    public static void Epsilon(Prediction prediction, double signal, double noise, ReadOnlySpan<float> sample, ReadOnlySpan<float> output, Span<float> epsilon)
    {
        switch (prediction)
        {
            case Prediction.Epsilon:
                output.CopyTo(epsilon);
                break;
            case Prediction.Velocity:
                Linear.Sum(epsilon, signal, output, noise, sample);
                break;
            default:
                Linear.Sum(epsilon, 1 / noise, sample, -signal / noise, output);
                break;
        }
    }

    /// <summary>As <see cref="Clean"/> where sample = clean + sigma·epsilon.</summary>
    public static void CleanOfSigma(Prediction prediction, double sigma, ReadOnlySpan<float> sample, ReadOnlySpan<float> output, Span<float> clean)
    {
        var variance = (sigma * sigma) + 1;
        switch (prediction)
        {
            case Prediction.Epsilon:
                Linear.Sum(clean, 1, sample, -sigma, output);
                break;
            case Prediction.Velocity:
                Linear.Sum(clean, 1 / variance, sample, -sigma / Math.Sqrt(variance), output);
                break;
            default:
                output.CopyTo(clean);
                break;
        }
    }
}
