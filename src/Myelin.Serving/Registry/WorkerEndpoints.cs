using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;

namespace Myelin.Serving.Registry;

internal static class WorkerEndpoints
{
    public static void MapWorkers(this IEndpointRouteBuilder routes) => routes
        .MapGet("/v1/workers", (WorkerDirectory workers) => new Reply<Page<WorkerInfo>>(new Page<WorkerInfo>([.. workers.All().Select(w => Describe(w.Worker, w.Live, w.Draining))])))
        .RequireScope(Scopes.Operate).WithTags("Operations")
        .Problems(ProblemTypes.Unauthorized, ProblemTypes.Forbidden)
        .WithName("listWorkers").WithSummary("Workers that registered: where they are, what they have, whether they live");

    private static WorkerInfo Describe(WorkerRow worker, bool live, bool draining) => new()
    {
        Id = worker.Id,
        Host = worker.Host,
        State = live ? "live" : draining ? "draining" : "silent",
        Address = worker.Address,
        Capacity = worker.Capacity,
        Running = worker.Running,
        StartedAt = worker.StartedAt,
        SeenAt = worker.SeenAt,
        Models = [.. worker.Models.Select(m => new WorkerModel(m.Name, m.State))],
    };
}
