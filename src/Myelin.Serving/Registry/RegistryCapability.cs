using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;

namespace Myelin.Serving.Registry;

/// <summary>Who the workers are and what they have.</summary>
internal sealed class RegistryCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options) => services.AddWorkerRegistry(options.Runs(Role.Worker));

    public override void MapEndpoints(IEndpointRouteBuilder routes) => routes.MapWorkers();
}
