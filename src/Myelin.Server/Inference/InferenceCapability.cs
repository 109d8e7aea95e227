using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Server.Inference.Calls;

namespace Myelin.Server.Inference;

/// <summary>Synchronous calls in the form of the Open Inference Protocol.</summary>
internal sealed class InferenceCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options) => services.AddCalls();

    public override void MapEndpoints(IEndpointRouteBuilder routes) => routes.MapInference();
}
