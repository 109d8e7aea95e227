using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Telemetry;
using Myelin.Hosting.Web;
using Myelin.Jobs.Store;
using Myelin.Jobs.Upkeep;
using Myelin.Serving.Models;

namespace Myelin.Jobs;

internal static class JobsRegistration
{
    /// <summary>
    /// Storage, bus, blobs and the jobs on them. Needs <see cref="MyelinOptions"/>. Hosted services start in the order
    /// of registration and stop in the reverse: ears before mouths.
    /// </summary>
    public static IServiceCollection AddJobs(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();
        services.AddHealth();
        services.TryAddSingleton<InferenceInstruments>();
        services.AddSingleton<JobInstruments>();
        services.AddJobStore((provider, store) => provider.GetRequiredService<JobInstruments>().ObserveDepth(store));
        services.AddBus();
        services.AddArtifacts(p => p.GetRequiredService<IInstallationStore>().ReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult().BlobPrefix);
        services.AddSingleton<JobInputs>();
        services.AddSingleton<JobIds>();
        services.TryAddSingleton<SettleParameters>((_, parameters) => parameters);
        services.AddSingleton<DiskSpace>();
        services.AddProbe("disk", provider => provider.GetRequiredService<DiskSpace>().Reason);
        services.AddSingleton<ServiceRates>();
        services.AddSingleton<QueueRoom>();
        services.AddSingleton<JobEvents>();
        services.AddHostedService(p => p.GetRequiredService<JobEvents>());
        services.AddSingleton<JobAnnouncer>();
        services.AddSingleton<JobService>();
        services.AddHostedService<JobIntake>();
        return services;
    }

    /// <summary>Whether work fits its model: for those who take jobs, and those who take frames.</summary>
    public static IServiceCollection AddSubmissionCheck(this IServiceCollection services)
    {
        services.TryAddSingleton<SubmissionParts>();
        services.TryAddSingleton<SubmissionCheck>();
        services.TryAddSingleton(p => new InputFetcher(p.GetRequiredService<BodyBudget>(), p.GetRequiredService<MyelinOptions>(), p.GetRequiredService<TimeProvider>()));
        return services;
    }

    /// <summary>The upkeep of jobs: any number of processes may have it, one at a time does it.</summary>
    public static IServiceCollection AddCoordinator(this IServiceCollection services) => services
        .AddSingleton<LeaseRecovery>().AddSingleton<QueueSweep>().AddSingleton<Retention>().AddSingleton<BlobOwnership>().AddSingleton<OrphanSweep>().AddHostedService<Coordinator>();
}
