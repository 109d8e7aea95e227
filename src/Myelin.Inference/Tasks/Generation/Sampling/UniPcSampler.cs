namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>UniPC (Zhao et al., 2023): each evaluation first corrects the sample it was made at, then predicts the next.</summary>
internal sealed class UniPcSampler(SchedulerConfig config, Plan plan) : LambdaSampler(config, plan)
{
    private readonly List<float[]> _outputs = []; // Clean latents (or noises) by evaluation, newest last.
    private float[]? _before;
    private int _order;
    private int _orderSoFar;

    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var converted = new float[sample.Length];
        if (Config.PredictOriginal)
        {
            Outputs.Clean(Config.Prediction, Signal(index), Noise(index), sample, output, converted);
        }
        else
        {
            Outputs.Epsilon(Config.Prediction, Signal(index), Noise(index), sample, output, converted);
        }

        if (_before is { } before)
        {
            Update(sample, before, index - 1, _order, converted);
        }

        _outputs.Add(converted);
        if (_outputs.Count > Config.SolverOrder)
        {
            _outputs.RemoveAt(0);
        }

        var order = Config.LowerOrderFinal ? Math.Min(Config.SolverOrder, Timesteps.Count - index) : Config.SolverOrder;
        _order = Math.Min(order, _orderSoFar + 1);
        _before = sample.ToArray();
        Update(sample, _before, index, _order, corrector: null);
        _orderSoFar = Math.Min(_orderSoFar + 1, Config.SolverOrder);
    }

    /// <summary>Moves from evaluation <paramref name="at"/> to the next: a prediction, or a correction once the output there is known.</summary>
    private void Update(Span<float> into, float[] from, int at, int order, float[]? corrector)
    {
        var h = Lambda(at + 1) - Lambda(at);
        var signed = Config.PredictOriginal ? -h : h;
        var phi = double.IsInfinity(signed) ? -1 : Math.Exp(signed) - 1;
        var scale = Config.SolverType == "bh1" ? signed : phi;
        var ratios = new double[order];
        for (var i = 1; i < order; i++)
        {
            ratios[i - 1] = (Lambda(at - i) - Lambda(at)) / h;
        }

        ratios[order - 1] = 1;
        var weights = Weights(ratios, signed, phi, scale, corrector is not null);
        var (keep, gain) = Config.PredictOriginal
            ? (SigmaOver(at + 1, at), -Signal(at + 1))
            : (Signal(at + 1) / Signal(at), -Noise(at + 1));
        var newest = _outputs[^1];
        Linear.Sum(into, keep, from, gain * phi, newest);
        for (var i = 1; i < order; i++)
        {
            var weight = gain * scale * weights[i - 1] / ratios[i - 1];
            Linear.Add(into, weight, _outputs[^(i + 1)]);
            Linear.Add(into, -weight, newest);
        }

        if (corrector is not null)
        {
            Linear.Add(into, gain * scale * weights[order - 1], corrector);
            Linear.Add(into, -gain * scale * weights[order - 1], newest);
        }
    }

    private static double[] Weights(double[] ratios, double h, double phi, double scale, bool correct)
    {
        var count = correct ? ratios.Length : ratios.Length - 1;
        if (count <= 0)
        {
            return [];
        }

        if (count == 1)
        {
            return [0.5]; // The reference simplifies both systems of one unknown to a half.
        }

        var system = new double[count, count + 1];
        var (term, factorial) = ((phi / h) - 1, 1.0);
        for (var row = 0; row < count; row++)
        {
            for (var column = 0; column < count; column++)
            {
                system[row, column] = Math.Pow(ratios[column], row);
            }

            system[row, count] = term * factorial / scale;
            factorial *= row + 2;
            term = (term / h) - (1 / factorial);
        }

        var solution = LinearSystem.Solve(system);
        return [.. Enumerable.Range(0, count).Select(row => solution[row, 0])];
    }
}
