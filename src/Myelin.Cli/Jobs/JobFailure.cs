using Myelin.Cli.Terminal;

namespace Myelin.Cli.Jobs;

internal static class JobFailure
{
    /// <summary>The exit code of an ended job; says on standard error why it did not succeed.</summary>
    /// <param name="subject">What the person asked for, such as the file's name; empty where it is obvious.</param>
    public static int Report(Job job, string subject, Output output)
    {
        if (job.State == JobState.Succeeded)
        {
            return ExitCode.Ok;
        }

        var errors = job.Error?.Errors is { Count: > 0 } fields ? " " + string.Join("; ", fields.Select(f => $"{f.Key}: {f.Value}")) : "";
        return output.Fail($"{(subject.Length > 0 ? subject + ": " : "")}job {job.Id} {JobFollower.Describe(job)}{errors}", ExitCode.JobFailed);
    }
}
