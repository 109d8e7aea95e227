using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Hosting.Storage;

internal static class StorageRegistration
{
    /// <summary>What every store stands on, in either database. Needs <see cref="MyelinOptions"/> and a <see cref="TimeProvider"/>.</summary>
    public static IServiceCollection AddStorage(this IServiceCollection services)
    {
        services.AddSingleton<StorageInstruments>();
        services.AddSharedTime();
        services.AddSingleton<SoleCoordinator>();
        return services;
    }

    public static PostgresSettings Settings(StorageOptions options) =>
        new(options.Connection, options.Connections, options.Patience, options.StartTimeout);

    /// <summary>With PostgreSQL the whole process goes by the database's clock, as the others on it do.</summary>
    private static void AddSharedTime(this IServiceCollection services)
    {
        var machine = services.LastOrDefault(s => s.ServiceType == typeof(TimeProvider))?.ImplementationInstance as TimeProvider ?? TimeProvider.System;
        services.AddSingleton(new SharedClock(machine));
        services.AddSingleton(p => p.IsShared() ? p.GetRequiredService<SharedClock>() : machine);
    }
}
