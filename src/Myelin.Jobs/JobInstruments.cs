using System.Diagnostics;
using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;
using Myelin.Jobs.Store;
using Myelin.Jobs.Upkeep;

namespace Myelin.Jobs;

/// <summary>Counters, histograms and spans of jobs. Tags are bounded: models, states, reasons.</summary>
internal sealed class JobInstruments : IDisposable
{
    public const string Name = "Myelin";

    /// <summary>Spans: accept, claim, run.</summary>
    public static readonly ActivitySource Activities = new(Name);

    private readonly Meter _meter;
    private readonly InferenceInstruments _inference;
    private readonly Counter<long> _submitted;
    private readonly Counter<long> _accepted;
    private readonly Counter<long> _rejected;
    private readonly Counter<long> _ended;
    private readonly Counter<long> _retried;
    private readonly Counter<long> _lost;
    private readonly Counter<long> _resumed;
    private readonly Counter<long> _announced;
    private readonly Counter<long> _coalesced;
    private readonly Counter<long> _unusable;
    private readonly Counter<long> _blobsMissed;
    private readonly Histogram<double> _queueSeconds;
    private readonly Histogram<double> _runSeconds;
    private static readonly string[] s_refusals = [nameof(Ownership.Foreign), nameof(Ownership.Unmarked), nameof(Ownership.Restored)];

    private readonly Counter<long> _swept;
    private volatile bool _coordinates;
    private volatile string _sweepRefused = "";
    private volatile int _notSwept;

    public JobInstruments(IMeterFactory meters, InferenceInstruments inference)
    {
        _inference = inference;
        _meter = meters.Create(Name);
        _submitted = _meter.CreateCounter<long>("myelin.jobs.submitted", "{job}", "Submissions that passed the checks of the gateway.");
        _accepted = _meter.CreateCounter<long>("myelin.jobs.accepted", "{job}", "Jobs stored and answered with 202.");
        _rejected = _meter.CreateCounter<long>("myelin.jobs.rejected", "{job}", "Submissions refused, by reason.");
        _ended = _meter.CreateCounter<long>("myelin.jobs.ended", "{job}", "Jobs that reached an end state.");
        _retried = _meter.CreateCounter<long>("myelin.jobs.retries", "{attempt}", "Attempts that went back to the queue.");
        _lost = _meter.CreateCounter<long>("myelin.jobs.lost_leases", "{attempt}", "Attempts whose worker went away or lost its hold.");
        _resumed = _meter.CreateCounter<long>("myelin.jobs.resumed_leases", "{attempt}", "Attempts that went on after their worker had been silent for longer than its lease.");
        _announced = _meter.CreateCounter<long>("myelin.jobs.announced_again", "{job}", "Queued jobs that nobody had started and the coordinator announced once more.");
        _coalesced = _meter.CreateCounter<long>("myelin.jobs.signals_coalesced", "{signal}", "Signals that watchers of jobs were too slow for; each got the newest.");
        _unusable = _meter.CreateCounter<long>("myelin.jobs.messages_rejected", "{message}", "Messages of the server's own topics that could not be used, by topic: hints, signals, controls.");
        _blobsMissed = _meter.CreateCounter<long>("myelin.jobs.blobs_missed", "{attempt}", "Attempts that go back, uncounted, because the store of blobs is full or away: their work is lost.");
        _queueSeconds = _meter.CreateHistogram<double>("myelin.jobs.queue_wait", "s", "Time from acceptance to the first claim.");
        _runSeconds = _meter.CreateHistogram<double>("myelin.jobs.run", "s", "Time from claim to end of the last attempt.");
        _swept = _meter.CreateCounter<long>("myelin.artifacts.swept", "{job}", "Jobs whose blobs were deleted because no row is of them, or a purged one.");
        _meter.CreateObservableGauge("myelin.artifacts.not_swept", () => _notSwept, "{entry}", "Entries beside the blobs that are no job's and left alone, and jobs whose blobs cannot be deleted, at the last sweep.");
        _meter.CreateObservableGauge(
            "myelin.artifacts.sweep_refused",
            () => s_refusals.Select(r => new Measurement<int>(r == _sweepRefused ? 1 : 0, new KeyValuePair<string, object?>("reason", r))),
            null,
            "1 while no blob is swept because they may be another database's, by reason.");
        _meter.CreateObservableGauge("myelin.coordinator.leading", () => _coordinates ? 1 : 0, null, "1 in the process that looks after the jobs of the storage.");
    }

    public void Submitted(string model) => _submitted.Add(1, Model(model));

    public void Accepted(string model) => _accepted.Add(1, Model(model));

    public void Rejected(string model, SubmitStatus reason)
    {
        _rejected.Add(1, Model(model), new("reason", reason.ToString()));
        _inference.Failed(model, InferenceFailure.Rejected);
    }

    /// <summary>A job reached its state.</summary>
    public void Changed(JobRecord job)
    {
        if (job.State.IsEnd())
        {
            Ended(job);
        }
        else if (job.State == JobState.Running)
        {
            Claimed(job);
        }
        else
        {
            _retried.Add(1, Model(job.Model));
        }
    }

    private void Ended(JobRecord job)
    {
        _ended.Add(1, Model(job.Model), new("state", job.State.ToString()));
        if (job is { StartedAt: { } start, EndedAt: { } end })
        {
            _runSeconds.Record((end - start).TotalSeconds, Model(job.Model));
        }

        TritonView.Count(_inference, job);
    }

    private void Claimed(JobRecord job)
    {
        if (job is { Attempt: 1, StartedAt: { } start })
        {
            _queueSeconds.Record((start - job.CreatedAt).TotalSeconds, Model(job.Model));
        }
    }

    public void AnnouncedAgain(int jobs) => _announced.Add(jobs);

    public void Coalesced(long signals) => _coalesced.Add(signals);

    public void Rejected(string topic) => _unusable.Add(1, new KeyValuePair<string, object?>("topic", topic));

    public void LeaseLost(string model) => _lost.Add(1, Model(model));

    public void LeaseResumed(string model) => _resumed.Add(1, Model(model));

    public void Coordinates(bool yes) => _coordinates = yes;

    /// <param name="jobs">Whose blobs the sweep deleted.</param>
    public void Swept(int jobs) => _swept.Add(jobs);

    /// <param name="entries">Beside the blobs and no job's, or of jobs whose blobs cannot be deleted, at the newest sweep.</param>
    public void NotSwept(int entries) => _notSwept = entries;

    public void SweepLooked(Ownership found) => _sweepRefused = found.ToString();

    /// <summary>Shows the queue depth of every model; once, when the store is there.</summary>
    public void ObserveDepth(IJobStore store)
    {
        _meter.CreateObservableGauge(
            "myelin.jobs.queued", () => store.QueueDepths().Select(d => new Measurement<int>(d.Value, Model(d.Key))), "{job}", "Jobs that wait, by model.");
        _inference.ObservePending(() => store.QueueDepths().Select(d => (d.Key, d.Value)));
    }

    /// <summary>Shows how many tasks did not heed their word to stop; once.</summary>
    public void ObserveAbandoned(Func<int> count) =>
        _meter.CreateObservableGauge("myelin.worker.abandoned", count, "{task}", "Tasks that did not heed their word to stop and still hold a permit.");

    /// <summary>A finished result, or an input, that the store of blobs could not take or give; its job goes back.</summary>
    public void BlobsMissed(string model) => _blobsMissed.Add(1, Model(model));

    public void Dispose() => _meter.Dispose();

    private static KeyValuePair<string, object?> Model(string model) => new("model", model);
}
