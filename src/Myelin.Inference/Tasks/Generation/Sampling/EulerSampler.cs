namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Euler's method over sigmas (Karras et al., 2022), plain or ancestral: the latter steps further down and puts noise back.</summary>
internal sealed class EulerSampler : SigmaSampler
{
    private readonly bool _ancestral;

    public EulerSampler(SchedulerConfig config, Plan plan)
        : this(config, Sigmas.Make(config, Grid.Timesteps(config, plan.Steps, whole: false), fullRange: false), plan.Start())
    {
    }

    private EulerSampler(SchedulerConfig config, Sigmas sigmas, int start)
        : base(config, sigmas.Values, config.ContinuousTimesteps ? [.. sigmas.Values[..^1].Select(s => 0.25 * Math.Log(s))] : sigmas.Timesteps, start) =>
        _ancestral = config.Class == SamplerNames.EulerAncestral;

    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var (from, to) = (Values[index], Values[index + 1]);
        var up = _ancestral ? Math.Sqrt(to * to * ((from * from) - (to * to)) / (from * from)) : 0;
        var down = Math.Sqrt((to * to) - (up * up));
        var clean = new float[sample.Length];
        Outputs.CleanOfSigma(Config.Prediction, from, sample, output, clean);
        // sample + (sample − clean)/from · (down − from), gathered per operand.
        Linear.Sum(sample, down / from, sample, 1 - (down / from), clean);
        if (_ancestral)
        {
            noise.Draw(clean);
            Linear.Add(sample, up, clean);
        }
    }
}
