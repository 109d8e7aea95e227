using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;
using Myelin.Jobs;
using Myelin.Serving.Models;
using Myelin.Serving.Models.Catalogue;

namespace Myelin.Server.Gateway;

internal static class CatalogueEndpoints
{
    public static void MapCatalogue(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/v1/catalogue").WithTags("Catalogue");
        group.MapGet("", List)
            .WithName("listCatalogue")
            .WithSummary("Public models that can be installed");
        group.MapPost("{name}/install", InstallAsync)
            .WithName("installModel")
            .WithSummary("Install a model as a job: progress counts kilobytes; every file is checked against its sha256")
            .RequireScope(Scopes.Manage)
            .Problems(ProblemTypes.NotFound, ProblemTypes.QueueFull, ProblemTypes.StorageFull);
    }

    private static Reply<Page<CatalogueEntry>> List(Catalogue catalogue, ModelDirectory models) =>
        new(new Page<CatalogueEntry>([.. catalogue.List().Select(entry => new CatalogueEntry
        {
            Name = entry.Name,
            Task = entry.Task,
            Description = entry.Description,
            Licence = entry.Licence,
            Source = entry.Source,
            Size = entry.Size,
            Verified = entry.Verified,
            Installed = models.Find(entry.Name) is not null,
        })]));

    private static async Task<Results<AcceptedReply<Job>, ProblemResult>> InstallAsync(
        string name, Catalogue catalogue, JobService jobs, HttpContext context, CancellationToken cancellationToken)
    {
        if (catalogue.Find(name) is null)
        {
            return new ProblemResult(ProblemTypes.NotFound, $"'{name}' is not in the catalogue; GET /v1/catalogue lists what is");
        }

        var submission = new JobSubmission
        {
            Tenant = context.Caller().Tenant,
            Model = CatalogueInstallTask.Model,
            Key = $"{CatalogueInstallTask.Model}/{name}", // two installations of one model would race for its folder
            Parameters = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string> { ["name"] = name }, (JsonSerializerOptions?)null),
        };
        var result = await jobs.SubmitAsync(submission, cancellationToken);
        return result.Status == SubmitStatus.Accepted
            ? new AcceptedReply<Job>(jobs.Describe(result.Job!, result.Position), $"/v1/jobs/{result.Job!.Id}")
            : SubmitProblems.Of(result, submission.Model);
    }
}
