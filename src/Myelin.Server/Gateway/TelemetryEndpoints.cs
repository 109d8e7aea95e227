using Myelin.Hosting.Accounts;
using Myelin.Hosting.Health;
using Myelin.Hosting.Telemetry;
using Myelin.Hosting.Web;

namespace Myelin.Server.Gateway;

internal static class TelemetryEndpoints
{
    public static void MapTelemetry(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/health/live", () => new Reply<Protocol.Health>(new Protocol.Health("live", [])))
            .OpenToAll().DisableHttpMetrics().WithTags("Operations").WithSummary("Alive: the process answers");

        routes.MapGet("/health/ready", (Readiness readiness) => new HealthReply(readiness.Check()))
            .OpenToAll().DisableHttpMetrics().WithTags("Operations").WithSummary("Ready: send work here, or 503 with the reasons why not")
            .Produces<Protocol.Health>().Produces<Protocol.Health>(StatusCodes.Status503ServiceUnavailable);

        // Names of models and how much they are used are nobody's business without a key, where keys are asked for.
        routes.MapGet("/metrics", (MetricsPage page) => TypedResults.Text(page.Write(), MetricsPage.ContentType))
            .RequireScope(Scopes.Infer | Scopes.Manage | Scopes.Metrics).DisableHttpMetrics().WithTags("Operations")
            .WithSummary("Metrics as Prometheus text").Produces<string>(contentType: "text/plain");
    }

    private sealed class HealthReply(Protocol.Health health) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext) => JsonReply.WriteAsync(
            httpContext.Response,
            health,
            health.Reasons.Count == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable,
            JsonReply.ContentType,
            httpContext.RequestAborted);
    }
}
