namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>The ancestral sampler of the original paper (Ho et al., 2020).</summary>
internal sealed class DdpmSampler(SchedulerConfig config, Plan plan)
    : AlphaSampler(config, Grid.Timesteps(config, plan.Steps, whole: true), plan.Start())
{
    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var at = Start + index;
        var alpha = Schedule.Alpha(AllTimesteps[at]);
        var next = at + 1 < AllTimesteps.Length ? Schedule.Alpha(AllTimesteps[at + 1]) : 1;
        var ratio = alpha / next;
        var clean = new float[sample.Length];
        Outputs.Clean(Config.Prediction, Math.Sqrt(alpha), Math.Sqrt(1 - alpha), sample, output, clean);
        if (Config.ClipSample)
        {
            Linear.Clamp(clean, Config.ClipRange);
        }

        Linear.Sum(sample, Math.Sqrt(ratio) * (1 - next) / (1 - alpha), sample, Math.Sqrt(next) * (1 - ratio) / (1 - alpha), clean);
        if (AllTimesteps[at] > 0)
        {
            var variance = Config.VarianceType == "fixed_large" ? 1 - ratio : Math.Max((1 - next) / (1 - alpha) * (1 - ratio), 1e-20);
            noise.Draw(clean);
            Linear.Add(sample, Math.Sqrt(variance), clean);
        }
    }
}
