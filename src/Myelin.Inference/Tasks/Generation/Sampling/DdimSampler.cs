namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>DDIM (Song et al., 2020), with noise put back where <see cref="SchedulerConfig.Eta"/> is above 0.</summary>
internal sealed class DdimSampler(SchedulerConfig config, Plan plan)
    : AlphaSampler(config, Grid.Timesteps(config, plan.Steps, whole: true), plan.Start())
{
    private readonly int _stride = config.TrainTimesteps / plan.Steps;

    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var timestep = AllTimesteps[Start + index];
        var (alpha, next) = (AlphaAt(timestep), AlphaAt(timestep - _stride));
        var (signal, spread) = (Math.Sqrt(alpha), Math.Sqrt(1 - alpha));
        var clean = new float[sample.Length];
        var epsilon = new float[sample.Length];
        Outputs.Clean(Config.Prediction, signal, spread, sample, output, clean);
        Outputs.Epsilon(Config.Prediction, signal, spread, sample, output, epsilon);
        if (Config.ClipSample)
        {
            Linear.Clamp(clean, Config.ClipRange);
        }

        var variance = (1 - next) / (1 - alpha) * (1 - (alpha / next));
        var deviation = Config.Eta * Math.Sqrt(Math.Max(variance, 0));
        Linear.Sum(sample, Math.Sqrt(next), clean, Math.Sqrt(Math.Max(1 - next - (deviation * deviation), 0)), epsilon);
        if (Config.Eta > 0)
        {
            noise.Draw(epsilon);
            Linear.Add(sample, deviation, epsilon);
        }
    }
}
