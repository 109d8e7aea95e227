namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>
/// Pseudo linear multistep (Liu et al., 2022) without the Runge–Kutta start: the first step is taken twice, the second
/// time with the mean of both outputs.
/// </summary>
internal sealed class PndmSampler(SchedulerConfig config, Plan plan)
    : AlphaSampler(config, WithSecondTwice(Grid.Timesteps(config, plan.Steps, whole: true)), plan.Start())
{
    private readonly int _stride = config.TrainTimesteps / plan.Steps;
    private readonly List<float[]> _outputs = [];
    private float[]? _first;

    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var timestep = AllTimesteps[Start + index];
        var previous = timestep - _stride;
        if (index == 1)
        {
            (timestep, previous) = (timestep + _stride, timestep);
        }
        else
        {
            if (_outputs.Count == 4)
            {
                _outputs.RemoveAt(0);
            }

            _outputs.Add(output.ToArray());
        }

        var combined = new float[sample.Length];
        if (index == 0)
        {
            output.CopyTo(combined);
            _first = sample.ToArray();
        }
        else if (index == 1)
        {
            Linear.Sum(combined, 0.5, output, 0.5, _outputs[^1]);
            _first!.CopyTo(sample);
            _first = null;
        }
        else
        {
            double[] weights = _outputs.Count switch
            {
                2 => [3 / 2.0, -1 / 2.0],
                3 => [23 / 12.0, -16 / 12.0, 5 / 12.0],
                _ => [55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0],
            };
            for (var i = 0; i < weights.Length; i++)
            {
                Linear.Add(combined, weights[i], _outputs[^(i + 1)]);
            }
        }

        Move(sample, combined, timestep, previous);
    }

    private void Move(Span<float> sample, float[] output, int timestep, int previous)
    {
        var (alpha, next) = (AlphaAt(timestep), AlphaAt(previous));
        Outputs.Epsilon(Config.Prediction, Math.Sqrt(alpha), Math.Sqrt(1 - alpha), sample, output.ToArray(), output);
        var divisor = (alpha * Math.Sqrt(1 - next)) + Math.Sqrt(alpha * (1 - alpha) * next);
        Linear.Sum(sample, Math.Sqrt(next / alpha), sample, -(next - alpha) / divisor, output);
    }

    private static double[] WithSecondTwice(double[] timesteps) =>
        timesteps.Length < 2 ? timesteps : [timesteps[0], timesteps[1], .. timesteps[1..]];
}
