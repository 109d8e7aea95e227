using Microsoft.AspNetCore.Http.HttpResults;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Inference.Models;
using Myelin.Jobs;
using Myelin.Serving.Models;

namespace Myelin.Server.Gateway;

/// <summary>Models over HTTP: what there is, what it takes, what is wrong with it.</summary>
internal static class ModelEndpoints
{
    public static void MapModels(this IEndpointRouteBuilder routes)
    {
        var models = routes.MapGroup("/v1/models").WithTags("Models").RequireScope(Scopes.Infer | Scopes.Manage)
            .Problems(ProblemTypes.Unauthorized, ProblemTypes.Forbidden);
        models.MapGet("", (HttpContext context, ModelViews views) => new Reply<Page<Model>>(new Page<Model>(views.List(SeesLogs(context)))))
            .WithName("listModels").WithSummary("List models, broken ones with their errors");
        models.MapGet("{name}", Get)
            .WithName("getModel").WithSummary("One model: inputs, parameters, revisions, statistics, what executes it").Problems(ProblemTypes.UnknownModel);
        routes.MapPost("/v1/models/{name}/reload", ReloadAsync)
            .WithTags("Models").RequireScope(Scopes.Manage).Problems(ProblemTypes.Unauthorized, ProblemTypes.Forbidden, ProblemTypes.UnknownModel)
            .WithName("reloadModel").WithSummary("Load a model again: sidecars start anew, calls go on meanwhile; also tries a broken one again");
    }

    private static Results<Reply<Model>, ProblemResult> Get(string name, HttpContext context, ModelDirectory models, ModelViews views) =>
        models.Find(name) is { } model ? new Reply<Model>(views.Of(model, SeesLogs(context))) : Unknown(name, models.List());

    /// <summary>Where there are several processes every worker is asked; the answer is the model as it is known now.</summary>
    private static async Task<Results<Reply<Model>, ProblemResult>> ReloadAsync(
        string name, HttpContext context, ModelDirectory models, ModelRepository own, ModelViews views, IBus bus, MyelinOptions options, CancellationToken cancellationToken)
    {
        if (options.Topology == Topology.Alone)
        {
            own.Reload(name);
        }
        else if (models.Find(name) is not null)
        {
            await bus.PublishReloadAsync(name, cancellationToken);
        }

        return Get(name, context, models, views);
    }

    /// <summary>Other people's inputs may stand in them.</summary>
    private static bool SeesLogs(HttpContext context) => context.Caller().Scopes.HasFlag(Scopes.Manage);

    private static ProblemResult Unknown(string name, IReadOnlyList<ModelEntry> models)
    {
        var meant = Nearest.To(name, models.Select(m => m.Name));
        return new ProblemResult(
            ProblemTypes.UnknownModel,
            meant is null ? "there is no model of this name; GET /v1/models lists what there is" : $"there is no model of this name; did you mean '{meant}'?");
    }
}
