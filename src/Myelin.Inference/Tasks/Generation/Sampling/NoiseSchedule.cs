namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>The training's noise schedule: the cumulative product of alphas per timestep, rounded to float as the reference's.</summary>
internal sealed class NoiseSchedule
{
    private readonly float[] _alphas;

    /// <param name="config">Betas or how to make them.</param>
    /// <param name="keepLast">Above 0: replaces the last product, so that no sigma is infinite where the signal is rescaled to zero.</param>
    public NoiseSchedule(SchedulerConfig config, double keepLast = 0)
    {
        var betas = Betas(config);
        _alphas = new float[betas.Length];
        var product = 1.0;
        for (var i = 0; i < betas.Length; i++)
        {
            product *= (float)(1 - betas[i]);
            _alphas[i] = (float)product;
        }

        if (config.RescaleZeroSnr)
        {
            RescaleToZeroSignal(_alphas);
            if (keepLast > 0)
            {
                _alphas[^1] = (float)keepLast;
            }
        }
    }

    public int Count => _alphas.Length;

    /// <summary>Product of alphas up to a timestep.</summary>
    public double Alpha(int timestep) => _alphas[timestep];

    /// <summary>Noise over signal at a timestep.</summary>
    public double Sigma(int timestep) => Math.Sqrt((1 - (double)_alphas[timestep]) / _alphas[timestep]);

    private static float[] Betas(SchedulerConfig config)
    {
        if (config.TrainedBetas is { } trained)
        {
            return [.. trained.Select(b => (float)b)];
        }

        var n = config.TrainTimesteps;
        var betas = new float[n];
        for (var i = 0; i < n; i++)
        {
            betas[i] = config.BetaSchedule switch
            {
                "scaled_linear" => Square((float)Grid.Between(Math.Sqrt(config.BetaStart), Math.Sqrt(config.BetaEnd), n, i)),
                "squaredcos_cap_v2" => (float)Math.Min(1 - (Bar((i + 1.0) / n) / Bar((double)i / n)), 0.999),
                _ => (float)Grid.Between(config.BetaStart, config.BetaEnd, n, i),
            };
        }

        return betas;
    }

    private static float Square(float x) => x * x;

    private static double Bar(double t) => Math.Pow(Math.Cos((t + 0.008) / 1.008 * Math.PI / 2), 2);

    private static void RescaleToZeroSignal(float[] alphas)
    {
        var (first, last) = (Math.Sqrt(alphas[0]), Math.Sqrt(alphas[^1]));
        for (var i = 0; i < alphas.Length; i++)
        {
            var root = (Math.Sqrt(alphas[i]) - last) * first / (first - last);
            alphas[i] = (float)(root * root);
        }
    }
}
