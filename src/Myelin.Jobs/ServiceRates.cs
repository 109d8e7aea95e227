using Myelin.Hosting.Configuration;

namespace Myelin.Jobs;

/// <summary>
/// How fast each model gets through its jobs, measured from their ends: the mean interval between ends while there was
/// work. An interval counts from the end before, or from the job's own start when the model was idle until then, so
/// that idle time makes nothing look slow. Also counts ends for the statistics of a model.
/// </summary>
internal sealed class ServiceRates(MyelinOptions options, TimeProvider time)
{
    /// <summary>Running jobs that are counted by model; beyond that the longest unheard is not.</summary>
    private const int RunningLimit = 100_000;

    /// <summary>Names that are measured.</summary>
    internal const int ModelLimit = 10_000;

    private static readonly TimeSpan s_shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longest = TimeSpan.FromMinutes(10);

    /// <summary>By model. Signals come from a bus that anybody may write to: beyond the limit the longest unheard name goes.</summary>
    private readonly LastHeard<Measured> _models = new(ModelLimit, TimeSpan.MaxValue, time);

    /// <summary>By job. No attempt runs for longer than its timeout: an entry that does lost its end.</summary>
    private readonly LastHeard<Measured> _running = new(RunningLimit, options.Worker.AttemptTimeout + options.Worker.Lease, time, static model => model.Ran(-1));

    /// <summary>Names that are measured now.</summary>
    internal int Models => _models.Count;

    /// <summary>Takes note of a signal; on the hub's loop.</summary>
    public void Observe(JobSignal signal)
    {
        if (signal.Kind == JobSignalKind.State && signal.State == JobState.Running)
        {
            var model = Measure(signal.Model);
            _running.Put(signal.Job, model);
            model.Ran(1);
        }
        else if (signal.Kind != JobSignalKind.Progress)
        {
            _running.Remove(signal.Job);
        }

        if (signal.Kind == JobSignalKind.End)
        {
            Measure(signal.Model).Add(signal);
        }
    }

    /// <summary>Expected seconds until <paramref name="position"/> jobs have gone before; null before the first measurement.</summary>
    public double? Eta(string model, int position) =>
        _models.TryGet(model, out var measured) && measured.Interval is { } interval ? Math.Round((position + 1) * interval, 3) : null;

    /// <summary>
    /// When a place in a full queue is expected: bounded, and spread by up to a half so that refused callers do not come
    /// back all at once.
    /// </summary>
    public TimeSpan RetryAfter(string model, int over)
    {
        var seconds = (Eta(model, over) ?? s_shortest.TotalSeconds) * (1 + Random.Shared.NextDouble() / 2);
        return TimeSpan.FromSeconds(Math.Ceiling(Math.Clamp(seconds, s_shortest.TotalSeconds, s_longest.TotalSeconds)));
    }

    /// <summary>Ends since the start of the process, jobs that run now, and the mean seconds of a run.</summary>
    public (long Succeeded, long Failed, int Running, double? MeanSeconds) Of(string model)
    {
        _running.Expire();
        return _models.TryGet(model, out var measured) ? measured.Counts : default;
    }

    private Measured Measure(string model)
    {
        var measured = _models.TryGet(model, out var known) ? known : new Measured();
        _models.Put(model, measured);
        return measured;
    }

    private sealed class Measured
    {
        /// <summary>Weight of the newest measurement: about the last twenty count.</summary>
        private const double Weight = 0.1;

        private readonly Lock _gate = new();
        private DateTimeOffset _lastEnd;
        private double? _interval;
        private double? _seconds;
        private long _succeeded;
        private long _failed;
        private int _running;

        public double? Interval
        {
            get
            {
                lock (_gate)
                {
                    return _interval;
                }
            }
        }

        public (long, long, int, double?) Counts
        {
            get
            {
                lock (_gate)
                {
                    return (_succeeded, _failed, _running, _seconds);
                }
            }
        }

        public void Ran(int jobs)
        {
            lock (_gate)
            {
                _running += jobs;
            }
        }

        public void Add(JobSignal signal)
        {
            lock (_gate)
            {
                _succeeded += signal.State == JobState.Succeeded ? 1 : 0;
                _failed += signal.State == JobState.Failed ? 1 : 0;
                if (signal is { StartedAt: { } start, EndedAt: { } end })
                {
                    var from = start > _lastEnd ? start : _lastEnd;
                    _interval = Mean(_interval, Math.Max((end - from).TotalSeconds, 0));
                    _lastEnd = end > _lastEnd ? end : _lastEnd;
                    if (signal.State == JobState.Succeeded)
                    {
                        _seconds = Mean(_seconds, (end - start).TotalSeconds);
                    }
                }
            }
        }

        private static double Mean(double? mean, double value) => mean is { } old ? old + Weight * (value - old) : value;
    }
}
