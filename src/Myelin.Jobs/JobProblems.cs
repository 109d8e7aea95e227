using Myelin.Hosting.Web;
using Myelin.Inference;
using Myelin.Inference.Runtimes;
using Myelin.Protocol.Sidecars;

namespace Myelin.Jobs;

/// <summary>The problems that end a job; each tells the cure.</summary>
internal static class JobProblems
{
    public static Problem WorkerLost(int attempts) => new()
    {
        Type = ProblemTypes.AttemptsExhausted,
        Title = "The worker went away too often",
        Status = 500,
        Detail = $"The process that ran this job ended {attempts} times before the job did. The input may be more than its memory holds: try a smaller one, or see the server's log.",
    };

    public static Problem AttemptsExhausted(int attempts, string last) => new()
    {
        Type = ProblemTypes.AttemptsExhausted,
        Title = "Every attempt failed",
        Status = 500,
        Detail = $"{attempts} attempts failed; the last one with: {last} Submit it again once the cause is gone.",
    };

    /// <summary>By what the runtime says of itself: a crash and a hang have names of their own.</summary>
    public static Problem RuntimeFailed(RuntimeException fault) => fault.Code switch
    {
        SidecarErrors.Deadline => Problems.Of(ProblemTypes.RuntimeDeadline, fault.Message),
        SidecarErrors.ConnectionLost or SidecarErrors.BadFrame => Problems.Of(ProblemTypes.RuntimeCrashed, fault.Message),
        _ => RuntimeFailed(fault.Message),
    };

    public static Problem RuntimeFailed(string message) => new()
    {
        Type = ProblemTypes.RuntimeFailed,
        Title = "The model's runtime failed",
        Status = 500,
        Detail = message,
    };

    public static Problem InvalidInput(InputException fault) => new()
    {
        Type = fault.Code switch
        {
            InputErrorCode.TooLarge => ProblemTypes.TooLarge,
            InputErrorCode.UnsupportedMediaType => ProblemTypes.UnsupportedMediaType,
            _ => ProblemTypes.InvalidInput,
        },
        Title = "The input cannot be used",
        Status = fault.Code switch
        {
            InputErrorCode.TooLarge => 413,
            InputErrorCode.UnsupportedMediaType => 415,
            _ => 400,
        },
        Detail = fault.Message,
        Errors = new Dictionary<string, string> { [fault.Field] = fault.Message },
    };

    public static Problem ModelUnavailable(string model, string message) => new()
    {
        Type = ProblemTypes.ModelUnavailable,
        Title = "The model cannot be used",
        Status = 503,
        Detail = $"Model '{model}': {message}",
    };

    public static Problem InputsMissing(string name) => new()
    {
        Type = ProblemTypes.Internal,
        Title = "An input is gone",
        Status = 500,
        Detail = $"The stored input '{name}' is no longer there. Submit the job again.",
    };
}
