namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Euler's method for flow matching: sample = (1 − sigma)·clean + sigma·noise, the network gives noise − clean.</summary>
internal sealed class FlowEulerSampler : ISampler
{
    private readonly bool _stochastic;
    private readonly double[] _sigmas;

    /// <param name="config">Shift and shape.</param>
    /// <param name="plan">Steps and strength.</param>
    /// <param name="mu">Shift by the picture's size, where the configuration asks for it.</param>
    public FlowEulerSampler(SchedulerConfig config, Plan plan, double? mu)
    {
        _stochastic = config.Stochastic;
        var n = config.TrainTimesteps;
        var fixedShift = config.DynamicShift is null ? config.Shift : 1;
        var (largest, smallest) = (Shifted(1, fixedShift), Shifted(1.0 / n, fixedShift));
        var sigmas = new double[plan.Steps];
        for (var i = 0; i < sigmas.Length; i++)
        {
            var sigma = Grid.Between(largest, smallest, sigmas.Length, i);
            sigmas[i] = config.DynamicShift is { } dynamic && mu is { } shift
                ? Shifted(sigma, dynamic.Exponential ? Math.Exp(shift) : shift)
                : Shifted(sigma, config.Shift);
        }

        Stretch(sigmas, config.ShiftTerminal);
        var start = plan.Start();
        _sigmas = [.. sigmas.Skip(start), 0];
        Timesteps = [.. sigmas.Skip(start).Select(s => (float)(s * n))];
    }

    public IReadOnlyList<float> Timesteps { get; }

    public float InitialSigma => 1;

    public void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled) => sample.CopyTo(scaled);

    public void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var (from, to) = (_sigmas[index], _sigmas[index + 1]);
        if (!_stochastic)
        {
            Linear.Add(sample, to - from, output);
            return;
        }

        var drawn = new float[sample.Length];
        noise.Draw(drawn);
        Linear.Add(sample, -from, output);
        Linear.Sum(sample, 1 - to, sample, to, drawn);
    }

    public void AddNoise(int index, ReadOnlySpan<float> original, ReadOnlySpan<float> noise, Span<float> into) =>
        Linear.Sum(into, 1 - _sigmas[index], original, _sigmas[index], noise);

    private static double Shifted(double sigma, double shift) => shift * sigma / (1 + ((shift - 1) * sigma));

    /// <summary>Stretches the schedule so that its last sigma is <paramref name="terminal"/>.</summary>
    private static void Stretch(double[] sigmas, double? terminal)
    {
        if (terminal is not { } last || sigmas[^1] >= 1)
        {
            return;
        }

        var factor = (1 - sigmas[^1]) / (1 - last);
        for (var i = 0; i < sigmas.Length; i++)
        {
            sigmas[i] = 1 - ((1 - sigmas[i]) / factor);
        }
    }
}
