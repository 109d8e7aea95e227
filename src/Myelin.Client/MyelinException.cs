using System.Net;

namespace Myelin.Client;

/// <summary>The server answered with a problem. The message is the problem's detail, which tells the cure.</summary>
public sealed class MyelinException(HttpStatusCode status, Problem problem, TimeSpan? retryAfter = null)
    : Exception(Describe(problem))
{
    public HttpStatusCode Status { get; } = status;

    public Problem Problem { get; } = problem;

    /// <summary>When the server asked to come back.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;

    private static string Describe(Problem problem)
    {
        var text = problem.Detail ?? problem.Title;
        return problem.Errors is { Count: > 0 } errors
            ? $"{text} ({string.Join("; ", errors.Select(e => $"{e.Key}: {e.Value}"))})"
            : text;
    }
}

/// <summary>Nobody answered at the server's address, or the connection broke more often than the options allow.</summary>
public sealed class MyelinUnreachableException(Uri server, Exception inner)
    : Exception($"No answer from {server}: {inner.Message}", inner)
{
    public Uri Server { get; } = server;
}
