using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Jobs.Dispatch;
using Myelin.Serving.Admission;
using Myelin.Serving.Models;
using Myelin.Serving.Registry;

namespace Myelin.Jobs.Attempts;

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
            p.IsShared() && p.GetService<ModelRepository>() is { } models ? models.Runs : static _ => true); // alone, the answer is the job's failure
        services.AddSingleton<ReloadModel>(p => p.GetService<ModelRepository>() is { } models ? name => models.Reload(name) : static _ => { });
        services.AddSingleton(p => new WorkerLoad(p.GetRequiredService<Worker>().Concurrency, () => p.GetRequiredService<RunningJobs>().Count));
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
