using Myelin.Hosting.Configuration;
using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>
/// The ways this process connects: a pool for reads and single writes, one connection for the writer, one for migrations,
/// two for notices between processes. All get the same settings on top of the operator's connection string.
/// </summary>
internal static class PostgresSources
{
    /// <summary>
    /// Every statement here finds its rows by an index, and plans are made once: a plan made while the tables were small
    /// must not read a whole table once they are large, and what the planner believes of their sizes may be minutes old. It
    /// forbids no cheaper plan: JobListCostTests looks at those of the lists, with old and with new statistics. Locks and silent clients end within seconds.
    /// </summary>
    internal const string Session =
        "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan -c jit=off " +
        "-c lock_timeout=5000 -c statement_timeout=20000 -c idle_in_transaction_session_timeout=30000 " +
        "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";

    private const string Unreadable = "storage.connection: cannot be read; it looks like Host=db;Port=5432;Username=myelin;Password=...;Database=myelin";

    private const string Patient = "-c lock_timeout=0 -c statement_timeout=0";

    /// <exception cref="StorageException">The connection string cannot be read; the message does not repeat it.</exception>
    public static NpgsqlDataSource Pool(PostgresSettings settings) => Create(settings, b =>
    {
        b.MaxPoolSize = settings.Connections;
        b.NoResetOnClose = true; // nothing here leaves a trace in a session
        b.Options = $"{b.Options} {Session}".Trim();
    });

    public static NpgsqlDataSource Writer(PostgresSettings settings) => Create(settings, b =>
    {
        // Not pooled: after a fault the session is really gone, and with it whatever it held.
        b.Pooling = false;
        b.Options = $"{b.Options} {Session}".Trim();
    });

    /// <summary>One that listens and one that sends; nothing that a crash of the database may lose is worth a wait for its disk.</summary>
    public static NpgsqlDataSource Notices(PostgresSettings settings) => Create(settings, b =>
    {
        b.MaxPoolSize = 2;
        b.KeepAlive = 10; // seconds: who only listens would not notice that the other end is gone
        b.Options = $"{b.Options} {Session} -c synchronous_commit=off".Trim();
    });

    public static NpgsqlDataSource Migrations(PostgresSettings settings) => Create(settings, b =>
    {
        b.Pooling = false;
        b.CommandTimeout = 0;
        b.Options = $"{b.Options} {Patient}".Trim();
    });

    /// <summary>Whether the connection string can be read; connects to nobody.</summary>
    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        if (options.Storage.Connection.Length == 0)
        {
            return [];
        }

        try
        {
            Pool(StorageRegistration.Settings(options.Storage)).Dispose();
            return [];
        }
        catch (StorageException fault)
        {
            return [fault.Message];
        }
    }

    private static NpgsqlDataSource Create(PostgresSettings settings, Action<NpgsqlConnectionStringBuilder> configure)
    {
        NpgsqlDataSource source;
        try
        {
            var builder = new NpgsqlConnectionStringBuilder
            {
                // Defaults that the operator's own string may change.
                ApplicationName = "myelin",
                Timeout = 5,
                CommandTimeout = 25,
                MaxAutoPrepare = 64,
                AutoPrepareMinUsages = 2,
                TcpKeepAlive = true,
                TcpKeepAliveTime = 10,
                TcpKeepAliveInterval = 5,
                WriteBufferSize = 64 << 10, // a batch leaves in one piece
                ReadBufferSize = 32 << 10,
            };
            foreach (var (key, value) in Parse(settings.Connection))
            {
                builder[key] = value;
            }

            configure(builder);
            source = new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException or OverflowException or InvalidOperationException or NotSupportedException)
        {
            throw new StorageException(Unreadable, 0);
        }

        // Several hosts: whichever of them takes writes.
        return source is NpgsqlMultiHostDataSource hosts ? hosts.WithTargetSession(TargetSessionAttributes.Primary) : source;
    }

    private static IEnumerable<KeyValuePair<string, object>> Parse(string connection)
    {
        var given = new System.Data.Common.DbConnectionStringBuilder { ConnectionString = connection };
        return given.Keys.Cast<string>().Select(key => KeyValuePair.Create(key, given[key]));
    }
}
