namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>DPM-Solver++ multistep of order 1 to 3 (Lu et al., 2022), and its stochastic form of order 1 and 2.</summary>
internal sealed class DpmSolverSampler(SchedulerConfig config, Plan plan) : LambdaSampler(config, plan)
{
    private readonly List<float[]> _clean = []; // Newest last.
    private int _orderSoFar;

    public override void Step(int index, ReadOnlySpan<float> output, Span<float> sample, INoise noise)
    {
        var clean = new float[sample.Length];
        Outputs.Clean(Config.Prediction, Signal(index), Noise(index), sample, output, clean);
        _clean.Add(clean);
        if (_clean.Count > 3)
        {
            _clean.RemoveAt(0);
        }

        var order = Math.Min(Order(index), _orderSoFar + 1);
        _orderSoFar = Math.Min(_orderSoFar + 1, Config.SolverOrder);
        var h = Lambda(index + 1) - Lambda(index);
        if (Config.Stochastic)
        {
            Stochastic(index, h, order, sample, noise);
        }
        else
        {
            Deterministic(index, h, order, sample);
        }
    }

    private int Order(int index)
    {
        var (left, few) = (Timesteps.Count - index, Timesteps.Count < 15);
        if (left == 1 && (Config.EulerAtFinal || (Config.LowerOrderFinal && few) || !Config.FinalSigmaMin))
        {
            return 1;
        }

        var order = Config.Stochastic ? Math.Min(Config.SolverOrder, 2) : Config.SolverOrder;
        return left == 2 && Config.LowerOrderFinal && few ? Math.Min(order, 2) : order;
    }

    private void Deterministic(int index, double h, int order, Span<float> sample)
    {
        var (signal, decay) = (Signal(index + 1), Math.Exp(-h) - 1);
        Linear.Sum(sample, SigmaOver(index + 1, index), sample, -signal * decay, _clean[^1]);
        if (order == 2)
        {
            var ratio = (Lambda(index) - Lambda(index - 1)) / h;
            var weight = Config.SolverType == "heun" ? signal * ((decay / h) + 1) : -0.5 * signal * decay;
            AddDifference(sample, weight / ratio, 1, 0);
        }
        else if (order == 3)
        {
            var (r0, r1) = ((Lambda(index) - Lambda(index - 1)) / h, (Lambda(index - 1) - Lambda(index - 2)) / h);
            var (first, second) = (signal * ((decay / h) + 1), -signal * (((decay + h) / (h * h)) - 0.5));
            // D1 = d0 + r0/(r0+r1)·(d0 − d1), D2 = (d0 − d1)/(r0+r1), with d0, d1 the slopes of the last two intervals.
            var near = (first * (1 + (r0 / (r0 + r1)))) + (second / (r0 + r1));
            var far = -((first * r0) + second) / (r0 + r1);
            AddDifference(sample, near / r0, 1, 0);
            AddDifference(sample, far / r1, 2, 1);
        }
    }

    private void Stochastic(int index, double h, int order, Span<float> sample, INoise noise)
    {
        var (signal, spent) = (Signal(index + 1), 1 - Math.Exp(-2 * h));
        Linear.Sum(sample, SigmaOver(index + 1, index) * Math.Exp(-h), sample, signal * spent, _clean[^1]);
        if (order == 2)
        {
            var ratio = (Lambda(index) - Lambda(index - 1)) / h;
            var weight = Config.SolverType == "heun" ? signal * ((spent / (-2 * h)) + 1) : 0.5 * signal * spent;
            AddDifference(sample, weight / ratio, 1, 0);
        }

        var drawn = new float[sample.Length];
        noise.Draw(drawn);
        Linear.Add(sample, Noise(index + 1) * Math.Sqrt(spent), drawn);
    }

    /// <summary>sample += weight·(clean[newer] − clean[older]), counted back from the newest.</summary>
    private void AddDifference(Span<float> sample, double weight, int older, int newer)
    {
        Linear.Add(sample, weight, _clean[^(newer + 1)]);
        Linear.Add(sample, -weight, _clean[^(older + 1)]);
    }
}
