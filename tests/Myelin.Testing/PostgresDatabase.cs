using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs.Store.Postgres;
using Npgsql;

namespace Myelin.Testing;

/// <summary>One database on a <see cref="PostgresServer"/>, and stores on it: each is to it what a process is.</summary>
internal sealed class PostgresDatabase
{
    private PostgresDatabase(string connection) => Connection = connection;

    public string Connection { get; }

    /// <summary>One that is there already.</summary>
    public static PostgresDatabase Of(string connection) => new(connection);

    /// <summary>On the server that all tests share.</summary>
    public static async Task<PostgresDatabase> CreateAsync(CancellationToken cancellationToken) =>
        new(await (await PostgresServer.SharedAsync()).CreateDatabaseAsync(cancellationToken));

    public static async Task<PostgresDatabase> CreateAsync(PostgresServer server, CancellationToken cancellationToken) =>
        new(await server.CreateDatabaseAsync(cancellationToken));

    public PostgresSettings Settings(TimeSpan? patience = null) => new(Connection, 16, patience ?? TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(10));

    /// <param name="time">Of the machine: patience and intervals, and what the shared clock corrects.</param>
    public static PostgresContext Context(TimeProvider time)
    {
        var meters = new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>();
        return new PostgresContext(time, new SharedClock(time), new StorageInstruments(meters), NullLogger.Instance);
    }

    /// <param name="time">Patience and intervals.</param>
    /// <param name="patience">For a server that goes away.</param>
    /// <param name="lease">How long a silent coordinator keeps its place.</param>
    /// <param name="retention">How long a job is kept after its end.</param>
    public Task<PostgresJobStore> OpenAsync(TimeProvider time, TimeSpan? patience = null, TimeSpan? lease = null, TimeSpan? retention = null) =>
        PostgresJobStore.OpenAsync(Settings(patience), lease ?? TimeSpan.FromSeconds(10), retention ?? TimeSpan.FromHours(1), Context(time), CancellationToken.None);

    /// <summary>Forgets every row, keeps the tables.</summary>
    public Task ClearAsync() => ExecuteAsync("TRUNCATE jobs, inputs, queue_depths, webhooks, leases, api_keys, workers RESTART IDENTITY");

    public async Task ExecuteAsync(string sql)
    {
        await using var source = NpgsqlDataSource.Create(Connection + ";Pooling=false");
        await using var command = source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The first column of the first row; null where there is none.</summary>
    public async Task<T> ReadAsync<T>(string sql, params string[] arguments)
    {
        await using var source = NpgsqlDataSource.Create(Connection + ";Pooling=false");
        await using var command = source.CreateCommand(sql);
        command.Parameters.AddRange(arguments.Select(argument => new NpgsqlParameter { Value = argument }).ToArray());
        return (T)(await command.ExecuteScalarAsync())!;
    }
}
