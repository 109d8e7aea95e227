using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Server.Configuration;
using Myelin.Server.Health;
using Myelin.Server.Jobs.Dispatch;
using Myelin.Server.Models;
using Myelin.Server.Storage;

namespace Myelin.Server.Workers;

internal static class WorkersRegistration
{
    /// <summary>What runs jobs. Needs what AddJobs and AddCalls bring and a <see cref="ModelRepository"/>.</summary>
    public static IServiceCollection AddWorker(this IServiceCollection services)
    {
        services.AddSingleton(p => new JobQueue(PriorityWeights.TryParse(p.GetRequiredService<MyelinOptions>().Jobs.Weights)!, p.GetRequiredService<TimeProvider>()));
        services.AddSingleton<RunningJobs>();
        services.AddHostedService<JobListener>();
        services.AddSingleton<AcquireTask>(p => p.GetRequiredService<CallMemory>().Admitting(p.GetRequiredService<ModelRepository>().AcquireAsync));
        services.AddSingleton<RunsModel>(p =>
            StorageRegistration.UsesPostgres(p) && p.GetService<ModelRepository>() is { } models ? models.Runs : static _ => true); // alone, the answer is the job's failure
        services.AddSingleton<ReloadModel>(p => p.GetService<ModelRepository>() is { } models ? name => models.Reload(name) : static _ => { });
        services.AddSingleton<AttemptEndings>();
        services.TryAddSingleton<FailureLog>();
        services.AddSingleton<AbandonedTasks>();
        services.AddProbe("worker", provider => provider.GetRequiredService<AbandonedTasks>().Reason);
        services.AddSingleton<JobRunner>();
        services.AddSingleton<Heartbeat>();
        services.AddHostedService(p => p.GetRequiredService<Heartbeat>());
        services.AddSingleton<Worker>();
        services.AddHostedService(p => p.GetRequiredService<Worker>());
        return services;
    }
}
