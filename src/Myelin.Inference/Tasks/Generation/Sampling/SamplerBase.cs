namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>A sampler whose samples stay of unit variance: signal and noise come from the product of alphas at whole timesteps.</summary>
internal abstract class AlphaSampler : ISampler
{
    private protected AlphaSampler(SchedulerConfig config, double[] timesteps, int start)
    {
        Config = config;
        Schedule = new NoiseSchedule(config);
        AllTimesteps = [.. timesteps.Select(t => (int)t)];
        Start = start;
        Timesteps = [.. timesteps.Skip(start).Select(t => (float)t)];
    }

    public IReadOnlyList<float> Timesteps { get; }

    public float InitialSigma => 1;

    protected SchedulerConfig Config { get; }

    protected NoiseSchedule Schedule { get; }

    /// <summary>Those before <see cref="Start"/> included.</summary>
    protected int[] AllTimesteps { get; }

    protected int Start { get; }

    public void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled) => sample.CopyTo(scaled);

    public abstract void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise);

    public void AddNoise(int index, ReadOnlySpan<float> original, ReadOnlySpan<float> noise, Span<float> into)
    {
        var alpha = Schedule.Alpha(AllTimesteps[Start + index]);
        Linear.Sum(into, Math.Sqrt(alpha), original, Math.Sqrt(1 - alpha), noise);
    }

    /// <summary>The product at a timestep; before the first, that of a clean latent (1, or the first timestep's).</summary>
    protected double AlphaAt(int timestep) => timestep >= 0 ? Schedule.Alpha(timestep) : Config.SetAlphaToOne ? 1 : Schedule.Alpha(0);
}

/// <summary>A sampler whose samples grow with the noise: sample = clean + sigma·epsilon.</summary>
internal abstract class SigmaSampler : ISampler
{
    private protected SigmaSampler(SchedulerConfig config, double[] sigmas, double[] timesteps, int start)
    {
        Config = config;
        Values = sigmas[start..];
        Timesteps = [.. timesteps.Skip(start).Select(t => (float)t)];
        var largest = sigmas.Max();
        InitialSigma = (float)(config.Spacing == Spacing.Leading ? Math.Sqrt((largest * largest) + 1) : largest);
    }

    public IReadOnlyList<float> Timesteps { get; }

    public float InitialSigma { get; }

    protected SchedulerConfig Config { get; }

    /// <summary>One per evaluation and the final one.</summary>
    protected double[] Values { get; }

    public void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled) =>
        Linear.Scale(scaled, 1 / Math.Sqrt((Values[index] * Values[index]) + 1), sample);

    public abstract void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise);

    public void AddNoise(int index, ReadOnlySpan<float> original, ReadOnlySpan<float> noise, Span<float> into) =>
        Linear.Sum(into, 1, original, Values[index], noise);
}

/// <summary>A solver that steps in the logarithm of signal over noise, from sigmas.</summary>
internal abstract class LambdaSampler : ISampler
{
    private readonly double[] _sigmas;

    private protected LambdaSampler(SchedulerConfig config, Plan plan)
    {
        Config = config;
        var sigmas = Sigmas.Make(config, Grid.SolverTimesteps(config, plan.Steps), fullRange: true);
        _sigmas = sigmas.Values[plan.Start()..];
        Timesteps = [.. sigmas.Timesteps.Skip(plan.Start()).Select(t => (float)t)];
    }

    public IReadOnlyList<float> Timesteps { get; }

    public float InitialSigma => 1;

    protected SchedulerConfig Config { get; }

    public void ScaleInput(int index, ReadOnlySpan<float> sample, Span<float> scaled) => sample.CopyTo(scaled);

    public abstract void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise);

    public void AddNoise(int index, ReadOnlySpan<float> original, ReadOnlySpan<float> noise, Span<float> into) =>
        Linear.Sum(into, Signal(index), original, Noise(index), noise);

    protected double Signal(int index) => 1 / Math.Sqrt((_sigmas[index] * _sigmas[index]) + 1);

    protected double Noise(int index) => _sigmas[index] * Signal(index);

    /// <summary>+∞ at the end, where no noise is left.</summary>
    protected double Lambda(int index) => -Math.Log(_sigmas[index]);

    protected double SigmaOver(int to, int from) => Noise(to) / Noise(from);
}
