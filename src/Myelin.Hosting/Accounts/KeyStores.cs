using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Hosting.Accounts;

/// <summary>Keys live where the jobs live.</summary>
internal static class KeyStores
{
    /// <summary>The server's own.</summary>
    public static IKeyStore Of(IServiceProvider provider) => provider.IsShared()
        ? new PostgresKeyStore(provider.GetRequiredService<PostgresPool>())
        : new SqliteKeyStore(provider.GetRequiredService<SqliteDatabase>());

    /// <summary>For a command beside a running server, or without one. Dispose what comes with it.</summary>
    /// <exception cref="StorageException">The database cannot be used.</exception>
    public static async Task<(IKeyStore Keys, IAsyncDisposable Owner)> OpenAsync(MyelinOptions options, TimeProvider time, CancellationToken cancellationToken)
    {
        if (options.Topology != Topology.Alone)
        {
            var pool = await PostgresPool.OpenAsync(StorageRegistration.Settings(options.Storage), time, NullLogger.Instance, cancellationToken);
            return (new PostgresKeyStore(pool), pool);
        }

        DataFolder.Make(options.Data);
        var session = new SqliteSessionKeys(Path.Combine(options.Data, "myelin.db"), time);
        return (session, session);
    }
}
