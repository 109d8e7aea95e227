using Myelin.Server.Configuration;
using Myelin.Server.Jobs;
using Myelin.Server.Storage;

namespace Myelin.Server.Models;

/// <summary>Models as <c>/v1/models</c> shows them: with what this process counts of their jobs, and how many workers have them.</summary>
internal sealed class ModelViews(ModelDirectory models, ModelLoader loader, JobService jobs, MyelinOptions options)
{
    public IReadOnlyList<Model> List() => [.. models.List().Select(Of)];

    public Model Of(ModelEntry model) => ModelView.Of(model, loader) with
    {
        Statistics = jobs.Statistics(model.Name),

        // One process has nothing to tell: either it runs models or nobody does.
        Workers = StorageRegistration.UsesPostgres(options) ? models.Workers(model.Name) : null,
    };
}
