using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs.Store.Postgres;
using Myelin.Jobs.Store.Sqlite;

namespace Myelin.Jobs.Store;

internal static partial class JobStoreRegistration
{
    /// <summary>Jobs in the database that the options name, which they open: PostgreSQL with a connection string, else SQLite in the data folder.</summary>
    /// <param name="services">Needs <see cref="MyelinOptions"/>, a <see cref="TimeProvider"/>, metrics and logging.</param>
    /// <param name="opened">Told of the store once it is open.</param>
    public static IServiceCollection AddJobStore(this IServiceCollection services, Action<IServiceProvider, IJobStore> opened)
    {
        services.AddStorage();
        services.AddSingleton(OpenPostgres);
        services.AddSingleton(OpenSqlite);
        services.AddSingleton(p => p.GetRequiredService<PostgresJobStore>().Pool);
        services.AddSingleton(p => p.GetRequiredService<SqliteJobStore>().Database);
        services.AddSingleton<IJobStore>(p =>
        {
            IJobStore store = p.IsShared() ? p.GetRequiredService<PostgresJobStore>() : p.GetRequiredService<SqliteJobStore>();
            p.GetRequiredService<FatalErrors>().WatchForFault("the storage's writer", store is PostgresJobStore shared ? shared.Writer.Ended : p.GetRequiredService<SqliteDatabase>().Writer.Ended);
            opened(p, store);
            return store;
        });
        services.AddProbe("storage", p => () => p.IsShared() ? p.GetRequiredService<PostgresJobStore>().Writer.Away : null);
        services.AddSingleton<IWebhookStore>(p => p.IsShared() ? p.GetRequiredService<PostgresJobStore>() : p.GetRequiredService<SqliteJobStore>());
        services.AddSingleton<IInstallationStore>(p => p.IsShared()
            ? new PostgresInstallationStore(p.GetRequiredService<PostgresPool>(), p.GetRequiredService<PostgresJobStore>().Coordinator)
            : new SqliteInstallationStore(p.GetRequiredService<SqliteDatabase>()));
        services.AddSingleton<ICoordinatorLease>(p => p.IsShared() ? p.GetRequiredService<PostgresJobStore>().Coordinator : p.GetRequiredService<SoleCoordinator>());
        return services;
    }

    /// <summary>Waits: nothing of the process can work before its storage is there.</summary>
    private static PostgresJobStore OpenPostgres(IServiceProvider provider)
    {
        var all = provider.GetRequiredService<MyelinOptions>();
        var options = all.Storage;
        var clock = provider.GetRequiredService<SharedClock>();
        var instruments = provider.GetRequiredService<StorageInstruments>();
        var logger = provider.GetRequiredService<ILoggerFactory>().CreateLogger<PostgresJobStore>();
        instruments.ObserveClock(() => clock.Offset);
        var context = new PostgresContext(clock, clock, instruments, logger);
        // The wait for a database that is away ends when the process is told to.
        var stopping = provider.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        return PostgresJobStore.OpenAsync(StorageRegistration.Settings(options), options.CoordinatorLease, all.Jobs.Retention, context, stopping).GetAwaiter().GetResult();
    }

    private static SqliteJobStore OpenSqlite(IServiceProvider provider)
    {
        var options = provider.GetRequiredService<MyelinOptions>();
        var instruments = provider.GetRequiredService<StorageInstruments>();
        var store = SqliteJobStore.Open(
            Path.GetFullPath(options.Data), provider.GetRequiredService<TimeProvider>(), options.Jobs.Retention,
            notice => LogNotice(provider.GetRequiredService<ILoggerFactory>().CreateLogger<SqliteJobStore>(), notice), instruments.Committed);
        instruments.ObserveStatements(() => store.Database.Statements);
        return store;
    }

    [LoggerMessage(LogLevel.Information, "{notice}")]
    private static partial void LogNotice(ILogger logger, string notice);
}
