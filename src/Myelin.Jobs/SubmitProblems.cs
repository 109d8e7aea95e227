using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>The one table from a submission that was not accepted to its problem.</summary>
internal static class SubmitProblems
{
    public static readonly TimeSpan Later = TimeSpan.FromSeconds(5);

    public static ProblemResult Of(SubmitResult result, string model) => result.Status switch
    {
        SubmitStatus.IdempotencyMismatch => new ProblemResult(
            ProblemTypes.IdempotencyMismatch, $"job {result.Job!.Id} was submitted with this Idempotency-Key and another body; use a new key for a new request"),
        SubmitStatus.QueueFull => new ProblemResult(
            Problems.Of(ProblemTypes.QueueFull, $"the queue of '{model}' is full; send the same request again after Retry-After"), result.RetryAfter ?? Later),
        SubmitStatus.StorageFull => new ProblemResult(
            Problems.Of(ProblemTypes.StorageFull, "the server's disk is full and nothing was stored; send the same request again once there is space"), Later),
        SubmitStatus.ShuttingDown => new ProblemResult(
            Problems.Of(ProblemTypes.ShuttingDown, "the server is going down; send the same request again to another one, or in a moment"), Later),
        _ => throw new ArgumentOutOfRangeException(nameof(result), result.Status, "was accepted"),
    };
}
