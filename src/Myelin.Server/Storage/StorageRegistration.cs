using Myelin.Server.Configuration;
using Myelin.Server.Health;
using Myelin.Server.Storage.Postgres;
using Myelin.Server.Storage.Sqlite;

namespace Myelin.Server.Storage;

internal static partial class StorageRegistration
{
    /// <summary>The storage that the options name: PostgreSQL with a connection string, else SQLite in the data folder.</summary>
    /// <param name="services">Needs <see cref="MyelinOptions"/>, a <see cref="TimeProvider"/>, metrics and logging.</param>
    /// <param name="opened">Told of the store once it is open.</param>
    public static IServiceCollection AddStorage(this IServiceCollection services, Action<IServiceProvider, IJobStore> opened)
    {
        services.AddSingleton<StorageInstruments>();
        services.AddSharedTime();
        services.AddSingleton(OpenPostgres);
        services.AddSingleton(OpenSqlite);
        services.AddSingleton(p => p.GetRequiredService<PostgresJobStore>().Pool);
        services.AddSingleton(p => p.GetRequiredService<SqliteJobStore>().Database);
        services.AddSingleton<SoleCoordinator>();
        services.AddSingleton<IJobStore>(p =>
        {
            IJobStore store = UsesPostgres(p) ? p.GetRequiredService<PostgresJobStore>() : p.GetRequiredService<SqliteJobStore>();
            p.GetRequiredService<FatalErrors>().WatchForFault("the storage's writer", store is PostgresJobStore shared ? shared.Writer.Ended : p.GetRequiredService<SqliteDatabase>().Writer.Ended);
            opened(p, store);
            return store;
        });
        services.AddProbe("storage", p => () => UsesPostgres(p) ? p.GetRequiredService<PostgresJobStore>().Writer.Away : null);
        services.AddSingleton<IWebhookStore>(p => UsesPostgres(p) ? p.GetRequiredService<PostgresJobStore>() : p.GetRequiredService<SqliteJobStore>());
        services.AddSingleton<IInstallationStore>(p => UsesPostgres(p)
            ? new PostgresInstallationStore(p.GetRequiredService<PostgresPool>(), p.GetRequiredService<PostgresJobStore>().Coordinator)
            : new SqliteInstallationStore(p.GetRequiredService<SqliteDatabase>()));
        services.AddSingleton<ICoordinatorLease>(p => UsesPostgres(p) ? p.GetRequiredService<PostgresJobStore>().Coordinator : p.GetRequiredService<SoleCoordinator>());
        return services;
    }

    public static bool UsesPostgres(IServiceProvider provider) => UsesPostgres(provider.GetRequiredService<MyelinOptions>());

    public static bool UsesPostgres(MyelinOptions options) => options.Storage.Connection.Length > 0;

    public static PostgresSettings Settings(StorageOptions options) =>
        new(options.Connection, options.Connections, options.Patience, options.StartTimeout);

    /// <summary>With PostgreSQL the whole process goes by the database's clock, as the others on it do.</summary>
    private static void AddSharedTime(this IServiceCollection services)
    {
        var machine = services.LastOrDefault(s => s.ServiceType == typeof(TimeProvider))?.ImplementationInstance as TimeProvider ?? TimeProvider.System;
        services.AddSingleton(new SharedClock(machine));
        services.AddSingleton(p => UsesPostgres(p) ? p.GetRequiredService<SharedClock>() : machine);
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
        return PostgresJobStore.OpenAsync(Settings(options), options.CoordinatorLease, all.Jobs.Retention, context, stopping).GetAwaiter().GetResult();
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
