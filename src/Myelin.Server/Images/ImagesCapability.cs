using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;

namespace Myelin.Server.Images;

/// <summary>The image APIs of others on our own jobs.</summary>
internal sealed class ImagesCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options) => services.AddImages();

    public override void MapEndpoints(IEndpointRouteBuilder routes) => routes.MapImages();
}
