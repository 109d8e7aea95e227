using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Inference;
using Myelin.Inference.Tasks;
using Myelin.Jobs.Dispatch;
using Myelin.Jobs.Store;
using Myelin.Serving.Admission;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// One attempt from claim to stored outcome: claim → task and inputs → run → blobs → apply, guarded by the lease's
/// token. The permit is held from before the claim until the task has really returned; blobs and outcome are written
/// while the next job runs already.
/// </summary>
internal sealed partial class JobRunner(
    IJobStore store,
    IArtifacts artifacts,
    JobInputs inputs,
    IBus bus,
    JobQueue queue,
    RunningJobs running,
    AcquireTask acquire,
    AttemptEndings endings,
    JobAnnouncer announcer,
    JobInstruments instruments,
    FailureLog failures,
    AbandonedTasks abandoned,
    MyelinOptions options,
    TimeProvider time,
    ILogger<JobRunner> logger)
{
    private static readonly string s_worker = $"{Environment.MachineName}/{Environment.ProcessId}";
    private static readonly TimeSpan s_storageRetry = TimeSpan.FromSeconds(1);

    /// <summary>Tries the job; never throws.</summary>
    /// <param name="hint">What the queue gave; the queue is told what became of it.</param>
    /// <param name="releasePermit">Called once, when the next job may start.</param>
    public async Task RunAsync(JobHint hint, Action releasePermit)
    {
        using var job = new RunningJob(hint.Id, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)), time);
        var permit = new Permit(releasePermit);
        if (!running.TryAdd(job))
        {
            queue.Later(hint, time.GetUtcNow() + s_storageRetry);
            permit.Release();
            return;
        }

        try
        {
            if (await TryClaimAsync(hint, job))
            {
                await AttemptAsync(job, permit);
            }
            else
            {
                permit.Release();
            }
        }
        catch (Exception e)
        {
            // The last line of defence: the lease runs out and the coordinator takes the job up again.
            permit.Release();
            LogDropped(hint.Id, e);
        }
        finally
        {
            running.Remove(job);
        }
    }

    private async Task<bool> TryClaimAsync(JobHint hint, RunningJob job)
    {
        ClaimResult claim;
        try
        {
            claim = await ClaimAsync(hint, job);
        }
        catch (Exception e)
        {
            LogClaimFailed(hint.Id, e);
            queue.Later(hint, time.GetUtcNow() + s_storageRetry);
            return false;
        }

        switch (claim.Status)
        {
            case ClaimStatus.Claimed:
                job.Record = claim.Job!;
                queue.Claimed(hint);
                await announcer.ChangedAsync(claim.Job!, CancellationToken.None);
                return true;
            case ClaimStatus.KeyBusy:
                queue.KeyBusy(hint);
                return false;
            case ClaimStatus.NotYet:
                queue.Later(hint, claim.Job!.NotBefore!.Value);
                return false;
            default:
                queue.Gone(hint);
                return false;
        }
    }

    /// <summary>
    /// While Storage is away it is asked again under the same token: the claim may be there already, and only its token
    /// can tell. Given up, it would be a running job that nobody runs.
    /// </summary>
    private async Task<ClaimResult> ClaimAsync(JobHint hint, RunningJob job)
    {
        while (true)
        {
            try
            {
                var now = time.GetUtcNow();
                return await store.ClaimAsync(hint.Id, new JobLease(s_worker, job.LeaseToken, now + options.Worker.Lease), now, CancellationToken.None);
            }
            catch (StorageUnavailableException) when (job.Reason == StopReason.None)
            {
                await Task.Delay(s_storageRetry, time, CancellationToken.None);
            }
        }
    }

    private async Task AttemptAsync(RunningJob job, Permit permit)
    {
        var record = job.Record!;
        using var activity = JobInstruments.Activities.StartActivity("job run", ActivityKind.Consumer, record.TraceParent);
        activity?.SetTag("myelin.model", record.Model);
        activity?.SetTag("myelin.attempt", record.Attempt);
        JobOutcome? outcome;
        var call = CallAsync(job, permit);
        try
        {
            Observe(call);
            var result = await call.WaitAsync(job.Abandoned);
            outcome = AttemptEndings.Succeeded(result.Json, await PutAsync(record, result.Artifacts, job.Abandoned));
        }
        catch (Exception e) when (job.Reason != StopReason.None)
        {
            if (!call.IsCompleted)
            {
                abandoned.Add(call);
            }

            LogStopped(record.Id, job.Reason, e.GetType().Name);
            if (job.Reason == StopReason.TimedOut)
            {
                Tell(record, new TimeoutException($"it ran longer than {options.Worker.AttemptTimeout} (worker.attemptTimeout)"));
            }

            outcome = endings.Stopped(record, job.Reason);
        }
        catch (Exception e)
        {
            outcome = endings.Faulted(record, e);
            if (e is ArtifactsFullException or ArtifactsUnavailableException)
            {
                instruments.BlobsMissed(record.Model);
            }

            Tell(record, e);
        }

        activity?.SetTag("myelin.state", outcome?.State.ToString());
        await ApplyAsync(job, outcome);
    }

    /// <summary>The part that holds the permit: it comes back when this returns, also when nobody waits any more.</summary>
    private async Task<TaskResult> CallAsync(RunningJob job, Permit permit)
    {
        try
        {
            var record = job.Record!;
            using var late = time.CreateTimer(_ => job.Stop(StopReason.TimedOut), null, options.Worker.AttemptTimeout, Timeout.InfiniteTimeSpan);
            using var lease = await acquire(record.Model, job.Stopping);
            var input = await ReadAsync(record, job.Stopping);
            await using var progress = new ProgressReporter(job, bus, store, time, logger);
            return await lease.Task.RunAsync(input, progress, job.Stopping);
        }
        finally
        {
            permit.Release();
        }
    }

    private async Task<TaskInput> ReadAsync(JobRecord job, CancellationToken cancellationToken)
    {
        var files = new Dictionary<string, TaskFile>(job.Inputs.Length, StringComparer.Ordinal);
        foreach (var input in job.Inputs)
        {
            var bytes = await inputs.ReadAsync(job.Id, input, cancellationToken) ?? throw new MissingInputException(input.Name);
            files.Add(input.Name, new TaskFile(input.ContentType, bytes));
        }

        using var parameters = JsonDocument.Parse(job.Parameters.IsEmpty ? "{}"u8.ToArray() : job.Parameters);
        return new TaskInput(files, parameters.RootElement.Clone());
    }

    /// <summary>The work is done: a shutdown that comes now is better off with the result, and goes on without it only once the drain is over.</summary>
    private async Task<List<JobArtifact>> PutAsync(JobRecord job, IReadOnlyList<TaskArtifact> results, CancellationToken cancellationToken)
    {
        var blobs = new List<JobArtifact>(results.Count);
        foreach (var result in results)
        {
            using var content = Blobs.Reading(result.Bytes);
            var blob = await artifacts.PutAsync(job.Id, JobBlobs.ResultName(job.Attempt, result.Name), result.ContentType, content, cancellationToken);
            blobs.Add(blob with { Name = result.Name });
        }

        return blobs;
    }

    /// <summary>Stores the outcome; while Storage cannot (full disk) it is tried again for as long as the lease is ours.</summary>
    private async Task ApplyAsync(RunningJob job, JobOutcome? outcome)
    {
        while (outcome is not null && job.Reason != StopReason.LeaseLost)
        {
            try
            {
                var applied = await store.ApplyAsync(job.Id, job.LeaseToken, outcome, time.GetUtcNow(), CancellationToken.None);
                if (applied is not null)
                {
                    // Said to the queue at once: the next job of the key need not wait for the word to come round by the bus.
                    await announcer.ChangedAsync(applied, CancellationToken.None);
                    queue.Observe(JobSignal.Of(applied));
                    return;
                }

                // Silent for too long, and nobody has taken the job: then the outcome counts.
                if (await store.ReturnAsync(job.Record!, time.GetUtcNow() + options.Worker.Lease, CancellationToken.None) is null)
                {
                    break;
                }
            }
            catch (StorageClosedException e)
            {
                LogDropped(job.Id, e);
                return;
            }
            catch (StorageException e)
            {
                LogApplyFailed(job.Id, e);
                await Task.Delay(s_storageRetry, time, CancellationToken.None);
            }
        }

        instruments.LeaseLost(job.Record!.Model);
        LogStale(job.Id);
    }

    /// <summary>Bad input is the caller's affair; any other fault that of whoever runs the server.</summary>
    private void Tell(JobRecord job, Exception fault)
    {
        if (fault is InputException)
        {
            LogRefused(job.Id, job.Attempt, fault);
        }
        else
        {
            failures.Write($"Job {job.Id}, attempt {job.Attempt}", job.Model, job.Parameters, fault);
        }
    }

    /// <summary>An abandoned call's fault has no other listener.</summary>
    private static void Observe(Task call) =>
        _ = call.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);

    /// <summary>Comes back once, whoever gives it.</summary>
    private sealed class Permit(Action release)
    {
        private Action? _release = release;

        public void Release() => Interlocked.Exchange(ref _release, null)?.Invoke();
    }

    [LoggerMessage(LogLevel.Warning, "Job {Job} could not be claimed")]
    private partial void LogClaimFailed(string job, Exception e);

    [LoggerMessage(LogLevel.Debug, "Job {Job} stopped: {Reason} ({Ending})")]
    private partial void LogStopped(string job, StopReason reason, string ending);

    [LoggerMessage(LogLevel.Debug, "Job {Job}: attempt {Attempt} was refused")]
    private partial void LogRefused(string job, int attempt, Exception e);

    [LoggerMessage(LogLevel.Warning, "The outcome of job {Job} could not be stored; trying again")]
    private partial void LogApplyFailed(string job, Exception e);

    [LoggerMessage(LogLevel.Warning, "Job {Job} belongs to somebody else by now; this attempt's outcome is dropped")]
    private partial void LogStale(string job);

    [LoggerMessage(LogLevel.Error, "The attempt of job {Job} was dropped; its lease will run out")]
    private partial void LogDropped(string job, Exception e);
}
