namespace Myelin.Jobs.Store;

/// <summary>What becomes of a running job whose worker is gone or silent; the same for every storage.</summary>
internal static class RecoveryOutcome
{
    public static JobOutcome Of(JobRecord job, RecoveryPolicy policy)
    {
        if (job.CancelRequested)
        {
            return new JobOutcome(JobState.Cancelled);
        }

        if (job.Failures + 1 < policy.MaxAttempts)
        {
            return new JobOutcome(JobState.Queued) { CountsAsFailure = true, Lapsed = !policy.AllLeases };
        }

        return new JobOutcome(JobState.Failed)
        {
            CountsAsFailure = true,
            Error = JobProblems.WorkerLost(job.Failures + 1),
        };
    }
}
