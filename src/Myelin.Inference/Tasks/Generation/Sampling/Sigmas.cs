namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Sigmas of a run and their timesteps, for the samplers that think in noise levels.</summary>
internal sealed class Sigmas
{
    /// <summary>Keeps sigma finite at the last timestep when the signal is rescaled to zero: the smallest step of a half float.</summary>
    public const double SmallestSignal = 1.0 / (1 << 24);

    private const double Rho = 7;

    private readonly double[] _table;
    private readonly double[] _logs;

    private Sigmas(NoiseSchedule schedule)
    {
        _table = new double[schedule.Count];
        for (var i = 0; i < _table.Length; i++)
        {
            _table[i] = (float)schedule.Sigma(i);
        }

        _logs = Array.ConvertAll(_table, Math.Log);
    }

    /// <summary>Descending sigmas, a final one included.</summary>
    public double[] Values { get; private set; } = [];

    public double[] Timesteps { get; private set; } = [];

    /// <param name="config">Shape and bounds.</param>
    /// <param name="timesteps">Descending; where the shape is the training's, sigmas are read off here.</param>
    /// <param name="fullRange">Karras and exponential sigmas span the whole training, not only <paramref name="timesteps"/>; then timesteps are whole.</param>
    public static Sigmas Make(SchedulerConfig config, double[] timesteps, bool fullRange)
    {
        var made = new Sigmas(new NoiseSchedule(config, SmallestSignal));
        var values = config.LogInterpolation && config.SigmaShape == SigmaShape.Trained
            ? [.. Enumerable.Range(0, timesteps.Length).Select(i => Math.Exp(Grid.Between(made._logs[^1], made._logs[0], timesteps.Length, i)))]
            : timesteps.Select(t => Grid.Interpolate(made._table, t)).ToArray();
        if (config.SigmaShape != SigmaShape.Trained)
        {
            var largest = config.SigmaMax ?? (fullRange ? made._table[^1] : values[0]);
            var smallest = config.SigmaMin ?? (fullRange ? made._table[0] : values[^1]);
            var count = timesteps.Length;
            for (var i = 0; i < count; i++)
            {
                values[i] = config.SigmaShape == SigmaShape.Karras
                    ? Math.Pow(Grid.Between(Math.Pow(largest, 1 / Rho), Math.Pow(smallest, 1 / Rho), count, i), Rho)
                    : Math.Exp(Grid.Between(Math.Log(largest), Math.Log(smallest), count, i));
            }

            timesteps = [.. values.Select(made.TimestepOf).Select(t => fullRange ? Math.Round(t) : t)];
        }

        made.Values = [.. values.Select(v => (double)(float)v), config.FinalSigmaMin ? made._table[0] : 0];
        made.Timesteps = timesteps;
        return made;
    }

    /// <summary>The (fractional) timestep at which the training had this sigma.</summary>
    private double TimestepOf(double sigma)
    {
        var log = Math.Log(Math.Max(sigma, 1e-10));
        var low = Array.BinarySearch(_logs, log);
        low = Math.Clamp(low < 0 ? ~low - 1 : low, 0, _logs.Length - 2);
        var weight = Math.Clamp((_logs[low] - log) / (_logs[low] - _logs[low + 1]), 0, 1);
        return low + weight;
    }
}
