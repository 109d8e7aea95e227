using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Myelin.Hosting.Health;

internal static class HealthRegistration
{
    /// <summary>What knows whether the process is well. Capabilities add a <see cref="ReadinessProbe"/> each.</summary>
    public static IServiceCollection AddHealth(this IServiceCollection services)
    {
        services.TryAddSingleton<FatalErrors>();
        services.TryAddSingleton<Readiness>();
        services.AddHostedService<LoopWatch>(); // added once, however often it is asked for

        // Told by LoopWatch, with the reason and its status.
        services.Configure<HostOptions>(host => host.BackgroundServiceExceptionBehavior = BackgroundServiceExceptionBehavior.Ignore);
        return services;
    }

    public static IServiceCollection AddProbe(this IServiceCollection services, string capability, Func<IServiceProvider, Func<string?>> reason) =>
        services.AddSingleton(provider => new ReadinessProbe(capability, reason(provider)));
}
