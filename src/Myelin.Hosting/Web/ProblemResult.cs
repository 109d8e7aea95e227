using System.Globalization;

namespace Myelin.Hosting.Web;

/// <summary>A problem as an endpoint's answer.</summary>
/// <param name="problem">What went wrong.</param>
/// <param name="retryAfter">When a repeat may help; sent as whole seconds, at least one.</param>
internal sealed class ProblemResult(Problem problem, TimeSpan? retryAfter = null) : IResult
{
    public Problem Problem { get; } = problem;

    public TimeSpan? RetryAfter { get; } = retryAfter;

    public ProblemResult(string type, string detail) : this(Problems.Of(type, detail))
    {
    }

    public Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        if (RetryAfter is { } delay)
        {
            response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(delay.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        }

        return JsonReply.WriteAsync(response, Problem, Problem.Status, Protocol.Problem.ContentType, httpContext.RequestAborted);
    }
}
