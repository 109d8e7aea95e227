using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>Jobs over HTTP. Each job belongs to a tenant; another tenant's job is a 404 like one that never was.</summary>
internal static class JobEndpoints
{
    public static void MapJobs(this IEndpointRouteBuilder routes)
    {
        var jobs = routes.MapGroup("/v1/jobs").WithTags("Jobs").RequireScope(Scopes.Infer)
            .Problems(ProblemTypes.Unauthorized, ProblemTypes.Forbidden);

        jobs.MapPost("", (HttpContext context, JobSubmitEndpoint endpoint) => endpoint.HandleAsync(context))
            .WithName("submitJob").WithSummary("Submit a job")
            .WithDescription(JobDocumentation.Submit)
            .Accepts<JobRequest>("application/json", "multipart/form-data")
            .Problems(
                ProblemTypes.InvalidInput, ProblemTypes.UnknownModel, ProblemTypes.TooLarge, ProblemTypes.UnsupportedMediaType,
                ProblemTypes.IdempotencyMismatch, ProblemTypes.QueueFull, ProblemTypes.ModelUnavailable, ProblemTypes.StorageFull)
            .WithMetadata(JobDocumentation.Wait, JobDocumentation.Keep, JobDocumentation.IdempotencyKey);

        jobs.MapGet("", (HttpContext context, JobReadEndpoints endpoint) => endpoint.ListAsync(context))
            .WithName("listJobs").WithSummary("List jobs, newest first").Problems(ProblemTypes.InvalidInput)
            .WithMetadata(JobDocumentation.Model, JobDocumentation.State, JobDocumentation.Cursor, JobDocumentation.Limit);

        jobs.MapGet("{id}", (string id, HttpContext context, JobReadEndpoints endpoint) => endpoint.GetAsync(id, context))
            .WithName("getJob").WithSummary("Read a job, or wait for its end").Problems(ProblemTypes.NotFound, ProblemTypes.InvalidInput)
            .WithMetadata(JobDocumentation.Wait);

        jobs.MapDelete("{id}", (string id, HttpContext context, JobReadEndpoints endpoint) => endpoint.CancelAsync(id, context))
            .WithName("cancelJob").WithSummary("Cancel a job").Problems(ProblemTypes.NotFound, ProblemTypes.AlreadyEnded);

        jobs.MapGet("{id}/result", (string id, HttpContext context, JobReadEndpoints endpoint) => endpoint.ResultAsync(id, context))
            .WithName("getResult").WithSummary("The result's JSON alone").Produces<object>()
            .Problems(ProblemTypes.NotFound, ProblemTypes.NotReady, ProblemTypes.Gone);

        jobs.MapGet("{id}/events", (string id, HttpContext context, JobEventsEndpoint endpoint) => endpoint.HandleAsync(id, context))
            .WithName("watchJob").WithSummary("Watch a job as server-sent events")
            .WithDescription(JobDocumentation.Events)
            .Produces<JobEvent>(contentType: "text/event-stream").Produces(StatusCodes.Status204NoContent).Problems(ProblemTypes.NotFound)
            .WithMetadata(JobDocumentation.LastEventId);

        jobs.MapMethods("{id}/artifacts/{name}", ["GET", "HEAD"], (string id, string name, HttpContext context, JobArtifactEndpoint endpoint) => endpoint.HandleAsync(id, name, context))
            .WithName("getArtifact").WithSummary("The bytes of an input or result, whole or in ranges")
            .Produces<byte[]>(contentType: "application/octet-stream").Produces<byte[]>(StatusCodes.Status206PartialContent, "application/octet-stream")
            .Produces(StatusCodes.Status307TemporaryRedirect).WithMetadata(JobDocumentation.Redirect)
            .Problems(ProblemTypes.NotFound, ProblemTypes.Gone, ProblemTypes.RangeNotSatisfiable);

        jobs.MapGet("{id}/preview", (string id, HttpContext context, JobArtifactEndpoint endpoint) => endpoint.PreviewAsync(id, context))
            .WithName("getPreview").WithSummary("The newest preview of a running job, a JPEG")
            .Produces<byte[]>(contentType: "image/jpeg").Problems(ProblemTypes.NotFound);
    }
}
