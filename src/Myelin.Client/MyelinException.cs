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

        // A detail that already names its one wrong field is not said twice.
        var fields = problem.Errors?.Where(e => !text.Contains(e.Value, StringComparison.Ordinal)).Select(e => $"{e.Key}: {e.Value}").ToList();
        return fields is { Count: > 0 } ? $"{text} ({string.Join("; ", fields)})" : text;
    }
}

/// <summary>Nobody answered at the server's address, or the connection broke more often than the options allow.</summary>
public sealed class MyelinUnreachableException(Uri server, Exception inner)
    : Exception($"No answer from {server}: {inner.Message}", inner)
{
    public Uri Server { get; } = server;
}
