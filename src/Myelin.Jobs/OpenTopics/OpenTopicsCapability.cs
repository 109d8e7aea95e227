using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;

namespace Myelin.Jobs.OpenTopics;

/// <summary>Jobs and frames by Kafka, as far as the settings open them.</summary>
internal sealed class OpenTopicsCapability : Capability
{
    public override void AddServices(IServiceCollection services, MyelinOptions options) =>
        services.AddOpenTopics(options.OpenTopics, gateway: options.Runs(Role.Gateway), worker: options.Runs(Role.Worker));
}
