using Myelin.Hosting.Accounts;
using Myelin.Hosting.Health;
using Myelin.Inference.Models;
using Myelin.Server.Inference.Calls;
using Myelin.Serving.Models;

namespace Myelin.Server.Inference;

/// <summary>
/// The Open Inference Protocol v2 at <c>/v2</c>: tensors in, tensors out, as JSON or as bytes, for models of the task
/// <c>tensor</c>. Errors are in the protocol's form.
/// </summary>
internal static class InferenceEndpoints
{
    public static void MapInference(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/v2").WithTags("Open Inference Protocol").RequireScope(Scopes.Infer);
        group.MapGet("", (HttpContext context) => OipReplies.JsonAsync(context, StatusCodes.Status200OK, OipMetadata.Server))
            .WithSummary("The server's name, version and extensions");
        group.MapGet("health/live", () => TypedResults.Ok()).OpenToAll().WithSummary("Alive");
        group.MapGet("health/ready", (Readiness readiness) => TypedResults.StatusCode(readiness.Check().Reasons.Count == 0 ? 200 : 503)).OpenToAll().WithSummary("Ready");
        foreach (var path in (string[])["models/{model}", "models/{model}/versions/{version}"])
        {
            group.MapGet(path, (string model, string? version, HttpContext context, ModelDirectory models, CallRouter router) =>
                CallAsync(context, new CallPath(model, version, Infer: false), models, router)).WithSummary("What a model takes and gives");
            group.MapGet(path + "/ready", Ready).WithSummary("Whether a model can be called");
            group.MapPost(path + "/infer", (string model, string? version, HttpContext context, ModelDirectory models, CallRouter router) =>
                CallAsync(context, new CallPath(model, version, Infer: true), models, router)).WithSummary("Call a model");
        }
    }

    private static IResult Ready(string model, ModelDirectory models) =>
        models.Find(model) is { State: ModelState.Ready or ModelState.Available } ? TypedResults.Ok() : TypedResults.StatusCode(StatusCodes.Status400BadRequest);

    private static Task CallAsync(HttpContext context, CallPath path, ModelDirectory models, CallRouter router) => models.Find(path.Model) switch
    {
        null => OipReplies.ErrorAsync(context, StatusCodes.Status404NotFound, $"there is no model '{(path.Model.Length <= 64 ? path.Model : path.Model[..64])}'; GET /v1/models lists what there is"),
        { State: ModelState.Broken } => OipReplies.ErrorAsync(context, StatusCodes.Status503ServiceUnavailable, $"the model '{path.Model}' is broken; GET /v1/models/{path.Model} says why"),
        { Task: not TaskNames.Tensor } => OipReplies.ErrorAsync(context, StatusCodes.Status400BadRequest, $"'{path.Model}' takes no tensors; submit a job: POST /v1/jobs"),
        _ => router.RouteAsync(context, path),
    };
}
