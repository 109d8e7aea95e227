namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Heun's method over sigmas: each step but the last evaluates twice and takes the mean slope.</summary>
internal sealed class HeunSampler : SigmaSampler
{
    private float[]? _slope;
    private float[]? _from;

    public HeunSampler(SchedulerConfig config, Plan plan)
        : this(config, Sigmas.Make(config, Grid.Timesteps(config, plan.Steps, whole: false), fullRange: false), plan.Start(order: 2))
    {
    }

    private HeunSampler(SchedulerConfig config, Sigmas sigmas, int start)
        : base(config, [sigmas.Values[0], .. sigmas.Values[1..^1].SelectMany(Twice), sigmas.Values[^1]], [sigmas.Timesteps[0], .. sigmas.Timesteps[1..].SelectMany(Twice)], start)
    {
    }

    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var second = _slope is not null;
        var (from, to) = second ? (Values[index - 1], Values[index]) : (Values[index], Values[index + 1]);
        var sigma = second ? to : from;
        var slope = new float[sample.Length];
        Outputs.CleanOfSigma(Config.Prediction, sigma, sample, output, slope);
        if (Config.ClipSample)
        {
            Linear.Clamp(slope, Config.ClipRange);
        }

        Linear.Sum(slope, 1 / sigma, sample, -1 / sigma, slope);
        if (second)
        {
            Linear.Sum(slope, 0.5, _slope, 0.5, slope);
            Linear.Sum(sample, 1, _from, to - from, slope);
            (_slope, _from) = (null, null);
        }
        else
        {
            (_slope, _from) = (slope, sample.ToArray());
            Linear.Add(sample, to - from, slope);
        }
    }

    private static double[] Twice(double value) => [value, value];
}
