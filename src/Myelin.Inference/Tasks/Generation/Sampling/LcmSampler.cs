namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Latent consistency models (Luo et al., 2023): each evaluation jumps to a clean latent, which is noised again to the next.</summary>
internal sealed class LcmSampler(SchedulerConfig config, Plan plan) : AlphaSampler(config, Known(config, plan), start: 0)
{
    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        const double dataVariance = 0.25;
        var timestep = AllTimesteps[index];
        var alpha = Schedule.Alpha(timestep);
        var scaled = timestep * Config.TimestepScaling;
        var skip = dataVariance / ((scaled * scaled) + dataVariance);
        var jump = scaled / Math.Sqrt((scaled * scaled) + dataVariance);
        var clean = new float[sample.Length];
        Outputs.Clean(Config.Prediction, Math.Sqrt(alpha), Math.Sqrt(1 - alpha), sample, output, clean);
        if (Config.ClipSample)
        {
            Linear.Clamp(clean, Config.ClipRange);
        }

        Linear.Sum(sample, skip, sample, jump, clean);
        if (index + 1 < AllTimesteps.Length)
        {
            var next = Schedule.Alpha(AllTimesteps[index + 1]);
            noise.Draw(clean);
            Linear.Sum(sample, Math.Sqrt(next), sample, Math.Sqrt(1 - next), clean);
        }
    }

    /// <summary>A part of the timesteps the model was distilled on; strength cuts those, not the steps.</summary>
    private static double[] Known(SchedulerConfig config, Plan plan)
    {
        var stride = config.TrainTimesteps / config.OriginalSteps;
        var known = (int)(config.OriginalSteps * plan.Strength);
        if (known < plan.Steps)
        {
            throw new InputException("parameters.steps", $"must be at most {known}: this sampler knows {config.OriginalSteps} steps, times strength {plan.Strength}");
        }

        return [.. Enumerable.Range(0, plan.Steps).Select(i => (double)(((known - (int)Math.Floor((double)i * known / plan.Steps)) * stride) - 1))];
    }
}
