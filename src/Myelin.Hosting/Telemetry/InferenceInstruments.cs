using System.Diagnostics.Metrics;

namespace Myelin.Hosting.Telemetry;

/// <summary>
/// Triton's metrics under Triton's names, so that dashboards and autoscalers written for it work unchanged. Counted by
/// the worker at the end of an attempt. Durations are cumulative microseconds, as there.
/// </summary>
internal sealed class InferenceInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _success;
    private readonly Counter<long> _failure;
    private readonly Counter<long> _count;
    private readonly Counter<long> _executions;
    private readonly Counter<long> _request;
    private readonly Counter<long> _queue;
    private readonly Counter<long> _computeInput;
    private readonly Counter<long> _computeInfer;
    private readonly Counter<long> _computeOutput;

    public InferenceInstruments(IMeterFactory factory)
    {
        _meter = factory.Create(MetricsPage.MeterName);
        _success = _meter.CreateCounter<long>("nv_inference_request_success", description: "Successful inference requests, all batch sizes.");
        _failure = _meter.CreateCounter<long>("nv_inference_request_failure", description: "Failed inference requests by reason.");
        _count = _meter.CreateCounter<long>("nv_inference_count", description: "Inferences performed; a batch of n counts n.");
        _executions = _meter.CreateCounter<long>("nv_inference_exec_count", description: "Executions of the model; a batch counts one.");
        _request = Duration("request", "whole requests");
        _queue = Duration("queue", "waiting in the queue");
        _computeInput = Duration("compute_input", "preparing inputs");
        _computeInfer = Duration("compute_infer", "running the model");
        _computeOutput = Duration("compute_output", "preparing outputs");
    }

    /// <summary>Shows the requests that wait, by model; once.</summary>
    public void ObservePending(Func<IEnumerable<(string Model, int Count)>> pending) => _meter.CreateObservableGauge(
        "nv_inference_pending_request_count", () => pending().Select(p => new Measurement<int>(p.Count, Model(p.Model), s_version)), description: "Requests that wait for execution.");

    /// <param name="model">Name of the model.</param>
    /// <param name="times">Where the time went.</param>
    /// <param name="inferences">Pictures, or other items, of the request.</param>
    /// <param name="executions">Calls of the network.</param>
    public void Succeeded(string model, InferenceTimes times, int inferences = 1, int executions = 1)
    {
        var name = Model(model);
        _success.Add(1, name, s_version);
        _count.Add(inferences, name, s_version);
        _executions.Add(executions, name, s_version);
        _request.Add(Microseconds(times.Total), name, s_version);
        _queue.Add(Microseconds(times.Queue), name, s_version);
        _computeInput.Add(Microseconds(times.Input), name, s_version);
        _computeInfer.Add(Microseconds(times.Infer), name, s_version);
        _computeOutput.Add(Microseconds(times.Output), name, s_version);
    }

    public void Failed(string model, InferenceFailure reason) =>
        _failure.Add(1, Model(model), s_version, new("reason", reason switch
        {
            InferenceFailure.Rejected => "REJECTED",
            InferenceFailure.Canceled => "CANCELED",
            InferenceFailure.Backend => "BACKEND",
            _ => "OTHER",
        }));

    public void Dispose() => _meter.Dispose();

    private Counter<long> Duration(string part, string what) =>
        _meter.CreateCounter<long>($"nv_inference_{part}_duration_us", description: $"Cumulative microseconds of {what}.");

    private static KeyValuePair<string, object?> Model(string model) => new("model", model);

    // Jobs do not yet say which revision ran them, and dashboards want the label.
    private static readonly KeyValuePair<string, object?> s_version = new("version", "1");

    private static long Microseconds(TimeSpan time) => (long)time.TotalMicroseconds;
}

/// <summary>Triton's reasons of failure.</summary>
internal enum InferenceFailure
{
    Rejected,
    Canceled,
    Backend,
    Other,
}

/// <summary>Where the time of one request went.</summary>
internal sealed record InferenceTimes(TimeSpan Total, TimeSpan Queue, TimeSpan Input, TimeSpan Infer, TimeSpan Output);
