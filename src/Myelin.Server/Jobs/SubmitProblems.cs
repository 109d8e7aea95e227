using Myelin.Server.Web;

namespace Myelin.Server.Jobs;

/// <summary>The one table from a submission that was not accepted to its problem.</summary>
internal static class SubmitProblems
{
    private static readonly TimeSpan s_later = TimeSpan.FromSeconds(5);

    public static ProblemResult Of(SubmitResult result, string model) => result.Status switch
    {
        SubmitStatus.IdempotencyMismatch => new ProblemResult(
            ProblemTypes.IdempotencyMismatch, $"job {result.Job!.Id} was submitted with this Idempotency-Key and another body; use a new key for a new request"),
        SubmitStatus.QueueFull => new ProblemResult(
            Problems.Of(ProblemTypes.QueueFull, $"the queue of '{model}' is full; send the same request again after Retry-After"), result.RetryAfter ?? s_later),
        SubmitStatus.StorageFull => new ProblemResult(
            Problems.Of(ProblemTypes.StorageFull, "the server's disk is full and nothing was stored; send the same request again once there is space"), s_later),
        SubmitStatus.ShuttingDown => new ProblemResult(
            Problems.Of(ProblemTypes.ShuttingDown, "the server is going down; send the same request again to another one, or in a moment"), s_later),
        _ => throw new ArgumentOutOfRangeException(nameof(result), result.Status, "was accepted"),
    };
}
