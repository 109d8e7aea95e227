using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;

namespace Myelin.Server.Gateway;

/// <summary>Applies <see cref="SiteGuard"/> and <see cref="SecurityHeaders"/>, and answers the preflights of allowed origins.</summary>
internal sealed class SiteMiddleware(RequestDelegate next, SiteGuard guard)
{
    public Task InvokeAsync(HttpContext context)
    {
        SecurityHeaders.Apply(context);
        var request = context.Request;
        var verdict = guard.Check(request, context.Caller());
        if (verdict != SiteVerdict.Pass)
        {
            return Refusal(verdict, request).ExecuteAsync(context);
        }

        if (request.Headers.Origin is [{ } origin] && guard.IsAllowedOrigin(origin))
        {
            var headers = context.Response.Headers;
            headers.AccessControlAllowOrigin = origin;
            headers.Vary = "Origin";
            headers.AccessControlExposeHeaders = "Location, Retry-After, ETag, Content-Range";
            headers["Cross-Origin-Resource-Policy"] = "cross-origin";
            if (HttpMethods.IsOptions(request.Method) && request.Headers.AccessControlRequestMethod.Count > 0)
            {
                headers.AccessControlAllowMethods = "GET, HEAD, POST, PUT, DELETE";
                headers.AccessControlAllowHeaders = "Authorization, X-API-Key, Content-Type, Idempotency-Key, Last-Event-ID, Range";
                headers.AccessControlMaxAge = "600";
                context.Response.StatusCode = StatusCodes.Status204NoContent;
                return Task.CompletedTask;
            }
        }

        return next(context);
    }

    private static ProblemResult Refusal(SiteVerdict verdict, HttpRequest request) => verdict == SiteVerdict.ForeignHost
        ? new ProblemResult(Problems.Of(
            ProblemTypes.ForeignOrigin,
            $"the server does not answer as '{request.Host.Host}'; use its own address, or add the name to allowedHosts (MYELIN_ALLOWED_HOSTS)")
            with
        { Status = StatusCodes.Status421MisdirectedRequest })
        : new ProblemResult(
            ProblemTypes.ForeignOrigin,
            $"pages of {(request.Headers.Origin is [{ } origin] ? origin : "another site")} may not call this server; add the origin to allowedOrigins (MYELIN_ALLOWED_ORIGINS) if they should");
}
