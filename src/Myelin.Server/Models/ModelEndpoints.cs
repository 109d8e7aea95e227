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
        models.MapGet("", (ModelRepository repository, JobService jobs) => List(repository, jobs))
            .WithName("listModels").WithSummary("List models, broken ones with their errors");
        models.MapGet("{name}", (string name, ModelRepository repository, JobService jobs) => Get(name, repository, jobs))
            .WithName("getModel").WithSummary("One model: inputs, parameters, revisions, statistics").Problems(ProblemTypes.UnknownModel);
    }

    private static Reply<Page<Model>> List(ModelRepository repository, JobService jobs) =>
        new(new Page<Model>([.. repository.List().Select(m => Describe(m, jobs))]));

    private static Results<Reply<Model>, ProblemResult> Get(string name, ModelRepository repository, JobService jobs)
    {
        if (repository.Find(name) is { } model)
        {
            return new Reply<Model>(Describe(model, jobs));
        }

        var meant = Nearest.To(name, repository.List().Select(m => m.Name));
        return new ProblemResult(
            ProblemTypes.UnknownModel,
            meant is null ? "there is no model of this name; GET /v1/models lists what there is" : $"there is no model of this name; did you mean '{meant}'?");
    }

    internal static Model Describe(ModelEntry model, JobService jobs) => new()
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
    };
}
