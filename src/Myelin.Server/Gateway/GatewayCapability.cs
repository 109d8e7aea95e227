using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;

namespace Myelin.Server.Gateway;

/// <summary>What answers HTTP; also the health and metrics of a process that is no gateway.</summary>
internal sealed class GatewayCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options)
    {
        services.AddOperations(options);
        if (options.Runs(Role.Gateway))
        {
            services.AddGateway();
        }
    }

    public override void MapEndpoints(IEndpointRouteBuilder routes) => routes.MapMyelinOpenApi();
}
