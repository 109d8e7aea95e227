using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Web;

/// <summary>
/// The web server with a time of its own for its end: open requests get as long as running jobs do, then they are cut.
/// It stops first, and without that one slow download would use up what the others need.
/// </summary>
internal sealed class BoundedServer(IServer server, TimeSpan limit, TimeProvider time) : IServer
{
    public IFeatureCollection Features => server.Features;

    /// <summary>Puts it around the server that is registered.</summary>
    public static void Install(IServiceCollection services)
    {
        var kestrel = services.Last(service => service.ServiceType == typeof(IServer)).ImplementationType!;
        services.Replace(ServiceDescriptor.Singleton<IServer>(provider => new BoundedServer(
            (IServer)ActivatorUtilities.CreateInstance(provider, kestrel), provider.GetRequiredService<MyelinOptions>().Worker.DrainTimeout, provider.GetRequiredService<TimeProvider>())));
    }

    public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken) where TContext : notnull =>
        server.StartAsync(application, cancellationToken);

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(limit, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        await server.StopAsync(either.Token);
    }

    public void Dispose() => server.Dispose();
}
