using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Serving.Models;

namespace Myelin.Server.Gateway;

/// <summary>The repository of models and the catalogue.</summary>
internal sealed class ModelsCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options) => services.AddModels();

    public override void MapEndpoints(IEndpointRouteBuilder routes)
    {
        routes.MapModels();
        routes.MapCatalogue();
    }
}
