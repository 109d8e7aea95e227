using Microsoft.AspNetCore.Http.HttpResults;
using Myelin.Inference.Models;
using Myelin.Server.Accounts;
using Myelin.Server.Jobs;
using Myelin.Server.Web;

namespace Myelin.Server.Models;

/// <summary>Models over HTTP: what there is, what it takes, what is wrong with it.</summary>
internal static class ModelEndpoints
{
    public static void MapModels(this IEndpointRouteBuilder routes)
    {
        var models = routes.MapGroup("/v1/models").WithTags("Models").RequireScope(Scopes.Infer | Scopes.Manage)
            .Problems(ProblemTypes.Unauthorized, ProblemTypes.Forbidden);
        models.MapGet("", (ModelRepository repository, JobService jobs, ModelLoader loader) => List(repository, jobs, loader))
            .WithName("listModels").WithSummary("List models, broken ones with their errors");
        models.MapGet("{name}", (string name, ModelRepository repository, JobService jobs, ModelLoader loader) => Get(name, repository, jobs, loader))
            .WithName("getModel").WithSummary("One model: inputs, parameters, revisions, statistics, what executes it").Problems(ProblemTypes.UnknownModel);
        routes.MapPost("/v1/models/{name}/reload", (string name, ModelRepository repository, JobService jobs, ModelLoader loader) => Reload(name, repository, jobs, loader))
            .WithTags("Models").RequireScope(Scopes.Manage).Problems(ProblemTypes.Unauthorized, ProblemTypes.Forbidden, ProblemTypes.UnknownModel)
            .WithName("reloadModel").WithSummary("Load a model again: sidecars start anew, calls go on meanwhile; also tries a broken one again");
    }

    private static Reply<Page<Model>> List(ModelRepository repository, JobService jobs, ModelLoader loader) =>
        new(new Page<Model>([.. repository.List().Select(m => Describe(m, jobs, loader))]));

    private static Results<Reply<Model>, ProblemResult> Get(string name, ModelRepository repository, JobService jobs, ModelLoader loader)
    {
        if (repository.Find(name) is { } model)
        {
            return new Reply<Model>(Describe(model, jobs, loader));
        }

        return Unknown(name, repository);
    }

    private static Results<Reply<Model>, ProblemResult> Reload(string name, ModelRepository repository, JobService jobs, ModelLoader loader) =>
        repository.Reload(name) is { } model ? new Reply<Model>(Describe(model, jobs, loader)) : Unknown(name, repository);

    private static ProblemResult Unknown(string name, ModelRepository repository)
    {
        var meant = Nearest.To(name, repository.List().Select(m => m.Name));
        return new ProblemResult(
            ProblemTypes.UnknownModel,
            meant is null ? "there is no model of this name; GET /v1/models lists what there is" : $"there is no model of this name; did you mean '{meant}'?");
    }

    internal static Model Describe(ModelEntry model, JobService jobs, ModelLoader loader) => new()
    {
        Id = model.Name,
        Name = model.Name,
        Created = model.Definition?.Created.ToUnixTimeSeconds() ?? 0,
        Task = model.Definition?.Task,
        Description = model.Definition?.Description,
        Licence = model.Definition?.Licence,
        Source = model.Definition?.Source,
        State = model.State.ToString().ToLowerInvariant(),
        Revisions = model.Revisions,
        Labels = model.Definition?.Labels ?? [],
        Inputs = [.. model.Contract?.Files.Select(f => new ModelInput(f.Name, f.Kind, f.Required, f.Description)) ?? []],
        Parameters = [.. model.Contract?.Parameters.Select(p => new ModelParameter(p.Name, p.Type, p.Description)
        {
            Minimum = p.Minimum,
            Maximum = p.Maximum,
            MultipleOf = p.MultipleOf,
            Choices = p.Choices,
            Default = p.Default,
            Required = p.Required,
        }) ?? []],
        Errors = [.. model.Errors.Select(e => new ModelProblem(e.File, e.Key, e.Message))],
        Statistics = jobs.Statistics(model.Name),
        Runtime = model.Definition is { } definition ? loader.Describe(definition) : null,
    };
}
