using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Serving.Models;

namespace Myelin.Serving.Registry;

internal static class RegistryRegistration
{
    /// <summary>Who the workers are, and where this is one, that it is there. Needs what AddJobs, AddModels and AddWorker bring.</summary>
    /// <param name="services">Of the server.</param>
    /// <param name="worker">This process is a worker.</param>
    public static IServiceCollection AddWorkerRegistry(this IServiceCollection services, bool worker)
    {
        services.AddSingleton<IWorkerStore>(p => p.IsShared()
            ? new PostgresWorkerStore(p.GetRequiredService<PostgresPool>())
            : new SqliteWorkerStore(p.GetRequiredService<SqliteDatabase>()));
        services.AddSingleton<WorkerInstruments>();
        services.AddSingleton<WorkerDirectory>();
        services.AddSingleton<IWorkerModels>(p => p.GetRequiredService<WorkerDirectory>());
        services.AddHostedService(p => p.GetRequiredService<WorkerDirectory>());
        if (worker)
        {
            services.AddSingleton<WorkerIdentity>();
            services.AddHostedService<WorkerPresence>();
        }

        return services;
    }
}
