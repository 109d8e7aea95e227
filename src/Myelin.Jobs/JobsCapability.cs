using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Attempts;

namespace Myelin.Jobs;

/// <summary>Durable work: accepted by gateways, done by workers, kept in order by coordinators.</summary>
internal sealed class JobsCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options)
    {
        services.AddJobs();
        if (options.Runs(Role.Worker))
        {
            services.AddWorker();
        }

        if (options.Runs(Role.Coordinator))
        {
            services.AddCoordinator();
        }
    }

    public override void MapEndpoints(IEndpointRouteBuilder routes) => routes.MapJobs();
}
