using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Inference;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Attempts;

/// <summary>The table from how an attempt ended to what becomes of its job.</summary>
internal sealed class AttemptEndings(MyelinOptions options, TimeProvider time)
{
    private static readonly TimeSpan s_longestDelay = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan s_spaceDelay = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_longestSpaceDelay = TimeSpan.FromMinutes(1);

    public static JobOutcome Succeeded(ReadOnlyMemory<byte> result, IEnumerable<JobArtifact> artifacts) =>
        new(JobState.Succeeded) { Result = result, Artifacts = [.. artifacts] };

    /// <summary>Null: the outcome is nobody's business any more.</summary>
    public JobOutcome? Stopped(JobRecord job, StopReason reason) => reason switch
    {
        StopReason.Cancelled => new JobOutcome(JobState.Cancelled),
        StopReason.LeaseLost => null,
        StopReason.Shutdown => new JobOutcome(JobState.Queued),
        _ => Retry(job, $"It ran longer than {options.Worker.AttemptTimeout} (worker.attemptTimeout)."),
    };

    public JobOutcome Faulted(JobRecord job, Exception fault) => fault switch
    {
        InputException input => Failed(JobProblems.InvalidInput(input)),
        ModelException { Transient: true } model => Retry(job, model.Message),
        ModelException model => Failed(JobProblems.ModelUnavailable(job.Model, model.Message)),
        RuntimeException { Retryable: false } runtime => Failed(JobProblems.RuntimeFailed(runtime)),
        MissingInputException input => Failed(JobProblems.InputsMissing(input.Name)),
        RuntimeException => Retry(job, fault.Message),

        // The store of blobs is no fault of the job's: it waits for space or for its return, however long that takes; ever
        // longer, because each time its work is done in vain.
        ArtifactsFullException or ArtifactsUnavailableException => new JobOutcome(JobState.Queued) { RetryAt = Later(s_spaceDelay, job.Attempt, s_longestSpaceDelay) },
        _ => Retry(job, $"{fault.GetType().Name}: {fault.Message}"),
    };

    private static JobOutcome Failed(Problem error) => new(JobState.Failed) { Error = error, CountsAsFailure = true };

    private JobOutcome Retry(JobRecord job, string why)
    {
        var failures = job.Failures + 1;
        if (failures >= options.Jobs.MaxAttempts)
        {
            return Failed(JobProblems.AttemptsExhausted(failures, why));
        }

        return new JobOutcome(JobState.Queued)
        {
            CountsAsFailure = true,
            RetryAt = Later(options.Jobs.RetryDelay, failures, s_longestDelay),
            Error = JobProblems.RuntimeFailed(why),
        };
    }

    private DateTimeOffset Later(TimeSpan first, int times, TimeSpan longest) => time.GetUtcNow() + Backoff.After(first, times, longest);
}

/// <summary>A stored input is not there, though its job says so.</summary>
internal sealed class MissingInputException(string name) : IOException($"the stored input '{name}' is gone")
{
    public string Name { get; } = name;
}
