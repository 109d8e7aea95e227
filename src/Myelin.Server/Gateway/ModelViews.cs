using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Serving.Models;

namespace Myelin.Server.Gateway;

/// <summary>
/// Models as <c>/v1/models</c> shows them: with what this process counts of their jobs, and how many workers have them.
/// The last lines of a sidecar's log, in which other people's inputs may stand, only where asked for: for callers who manage models.
/// </summary>
internal sealed class ModelViews(ModelDirectory models, ModelLoader loader, JobService jobs, MyelinOptions options)
{
    public IReadOnlyList<Model> List(bool logs) => [.. models.List().Select(model => Of(model, logs))];

    public Model Of(ModelEntry model, bool logs) => (logs ? ModelView.Of(model, loader) : ModelView.Of(model, loader).WithoutLogs()) with
    {
        Statistics = jobs.Statistics(model.Name),

        // One process has nothing to tell: either it runs models or nobody does.
        Workers = options.Topology != Topology.Alone ? models.Workers(model.Name) : null,
    };
}
