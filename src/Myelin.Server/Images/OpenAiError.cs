using System.Text.Json.Nodes;
using Myelin.Hosting.Web;

namespace Myelin.Server.Images;

/// <summary>A problem in the shape that OpenAI's clients read: <c>{"error":{message,type,param,code}}</c>.</summary>
internal sealed class OpenAiError(ProblemResult problem) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        if (problem.RetryAfter is { } delay)
        {
            httpContext.Response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(delay.TotalSeconds)).ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        return JsonReply.WriteAsync(httpContext.Response, Body(problem.Problem), problem.Problem.Status, JsonReply.ContentType, httpContext.RequestAborted);
    }

    public static JsonObject Body(Problem problem) => new()
    {
        ["error"] = new JsonObject
        {
            ["message"] = problem.Detail ?? problem.Title,
            ["type"] = problem.Status switch
            {
                429 => "rate_limit_error",
                >= 500 => "server_error",
                _ => "invalid_request_error",
            },
            ["param"] = problem.Errors?.Keys.FirstOrDefault()?.Replace("parameters.", "", StringComparison.Ordinal),
            ["code"] = problem.Type[(problem.Type.LastIndexOf('/') + 1)..].Replace('-', '_'),
        },
    };
}
