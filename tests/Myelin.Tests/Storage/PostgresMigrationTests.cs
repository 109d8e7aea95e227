using System.Diagnostics;
using Myelin.Hosting.Storage;
using Myelin.Testing;
using Npgsql;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>A database of the version before, whose processes go on writing while a new one brings it up to date.</summary>
public sealed class PostgresMigrationTests
{
    /// <summary>By number: what takes a migration back.</summary>
    private static readonly Dictionary<int, string> s_back = new()
    {
        [3] = "DROP INDEX jobs_unexpiring",
        [5] = "DROP INDEX webhooks_turns; DROP FUNCTION webhook_receiver",
        [6] = "DROP INDEX jobs_tenant_state; DROP INDEX jobs_tenant_model",
        [7] = "ALTER TABLE jobs DROP COLUMN lease_for, DROP COLUMN lapsed",
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Whoever writes next to a migration that waits for a long transaction must not queue behind it.</summary>
    [Theory]
    [InlineData(3, "jobs")]
    [InlineData(5, "webhooks")]
    [InlineData(6, "jobs")]
    [InlineData(7, "jobs")]
    public async Task Open_ATransactionHoldsTheTable_OthersWriteOn(int number, string table)
    {
        var database = await BeforeAsync(number);
        await using var writer = await ConnectAsync(database);
        await using var held = await ConnectAsync(database);
        await using var transaction = await held.BeginTransactionAsync(Token);
        await ExecuteAsync(held, Insert(table, "held"));

        var open = OpenAndCloseAsync(database);
        await MigrationWaitsAsync(database);
        await ExecuteAsync(writer, Insert(table, "other")); // gives up after five seconds, as every process does
        open.IsCompleted.ShouldBeFalse();
        await transaction.CommitAsync(Token);
        await open;

        await ShouldBeWholeAsync(database);
    }

    /// <summary>Jobs are inserted during the building of each index, not only between two.</summary>
    [Fact]
    public async Task Open_LargeTable_JobsAreInsertedWhileIndexesAreBuilt()
    {
        var database = await BeforeAsync([.. s_back.Keys]);
        await database.ExecuteAsync(
            """
            INSERT INTO jobs (id, tenant, model, priority, state, created_at, ended_at, expires_at)
            SELECT 'old' || n, 't' || n % 10, 'm' || n % 7, 1, 2 + n % 3, n, n, n FROM generate_series(1, 100000) n
            """);
        await using var writer = await ConnectAsync(database);
        var (inserts, within, longest, clock) = (0, new HashSet<uint>(), TimeSpan.Zero, Stopwatch.StartNew());

        for (var open = OpenAndCloseAsync(database); !open.IsCompleted || inserts == 0;)
        {
            var before = await BuildingAsync(writer);
            var start = clock.Elapsed;
            await ExecuteAsync(writer, Insert("jobs", $"new{inserts++}"));
            longest = clock.Elapsed - start is var took && took > longest ? took : longest;
            if (before is { } index && await BuildingAsync(writer) == index)
            {
                within.Add(index);
            }
        }

        TestContext.Current.TestOutputHelper!.WriteLine($"{inserts} inserts in {clock.Elapsed}, the longest {longest}; during {within.Count} of 4 indexes");
        within.Count.ShouldBeGreaterThanOrEqualTo(2); // the other two hold nothing and may be made too quickly to be seen
        await ShouldBeWholeAsync(database);
        (await database.ReadAsync<long>("SELECT count(*) FROM jobs")).ShouldBe(100_000 + inserts);
    }

    [Fact]
    public async Task Open_CutOffWhileAnIndexIsMade_MakesItAnew()
    {
        var database = await BeforeAsync(6);
        await using var held = await ConnectAsync(database);
        await using var transaction = await held.BeginTransactionAsync(Token);
        await ExecuteAsync(held, Insert("jobs", "held"));

        var open = OpenAndCloseAsync(database);
        await MigrationWaitsAsync(database);
        await database.ReadAsync<bool>($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {Waiting}");
        await Wait.UntilAsync(async () => await database.ReadAsync<long>("SELECT count(*) FROM pg_index WHERE NOT indisvalid") > 0);
        await transaction.CommitAsync(Token);
        await open;

        await ShouldBeWholeAsync(database);
    }

    [Fact]
    public async Task Open_SeveralAtOnceOnAnOldDatabase_MigrateOnce()
    {
        var database = await BeforeAsync([.. s_back.Keys]);

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => OpenAndCloseAsync(database)));

        await ShouldBeWholeAsync(database);
    }

    /// <summary>Older versions wait for their turn inside a statement, whose snapshot the index waits for: they get their turn.</summary>
    [Fact]
    public async Task Open_AProcessOfTheVersionBeforeWaitsForItsTurn_BothStart()
    {
        var database = await BeforeAsync(6);
        await using var held = await ConnectAsync(database);
        await using var transaction = await held.BeginTransactionAsync(Token);
        await ExecuteAsync(held, Insert("jobs", "held"));
        await using var old = await ConnectAsync(database, "-c deadlock_timeout=10min"); // looked for a deadlock already, when there was none

        var open = OpenAndCloseAsync(database);
        await MigrationWaitsAsync(database);
        var turn = ExecuteAsync(old, $"SELECT pg_advisory_lock({0x6d79656c696e})");
        await Wait.UntilAsync(async () => await database.ReadAsync<long>("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0);
        await transaction.CommitAsync(Token);
        await turn;
        await ExecuteAsync(old, $"SELECT pg_advisory_unlock({0x6d79656c696e})");
        await open;

        await ShouldBeWholeAsync(database);
    }

    /// <summary>The session that brings the database up to date waits for another one.</summary>
    private const string Waiting = "datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'CREATE INDEX|ALTER TABLE'";

    private static Task MigrationWaitsAsync(PostgresDatabase database) =>
        Wait.UntilAsync(async () => await database.ReadAsync<long>($"SELECT count(*) FROM pg_stat_activity WHERE {Waiting}") > 0);

    /// <summary>As it was before the migrations of these numbers.</summary>
    private static async Task<PostgresDatabase> BeforeAsync(params int[] numbers)
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        await OpenAndCloseAsync(database);
        foreach (var number in numbers)
        {
            await database.ExecuteAsync($"{s_back[number]}; DELETE FROM migrations WHERE number = {number}");
        }

        return database;
    }

    private static async Task OpenAndCloseAsync(PostgresDatabase database) => await (await database.OpenAsync(TimeProvider.System)).DisposeAsync();

    private static async Task<NpgsqlConnection> ConnectAsync(PostgresDatabase database, string options = "-c lock_timeout=5000")
    {
        var connection = new NpgsqlConnection($"{database.Connection};Pooling=false;Options={options}");
        await connection.OpenAsync(Token);
        return connection;
    }

    private static string Insert(string table, string id) => table == "jobs"
        ? $"INSERT INTO jobs (id, tenant, model, priority, created_at) VALUES ('{id}', 't', 'm', 1, 0)"
        : $"INSERT INTO webhooks (job, callback, next_at) VALUES ('{id}', '', 0)";

    private static async Task<uint?> BuildingAsync(NpgsqlConnection connection)
    {
        await using var command = new NpgsqlCommand("SELECT index_relid FROM pg_stat_progress_create_index WHERE datname = current_database()", connection);
        return (uint?)await command.ExecuteScalarAsync(Token);
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Token);
    }

    private static async Task ShouldBeWholeAsync(PostgresDatabase database)
    {
        (await database.ReadAsync<long>("SELECT count(*) FROM migrations")).ShouldBe(MigrationFiles.OfPostgres().Count);
        (await database.ReadAsync<long>(
            """
            SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid IN
              ('jobs_unexpiring'::regclass, 'webhooks_turns'::regclass, 'jobs_tenant_state'::regclass, 'jobs_tenant_model'::regclass)
            """)).ShouldBe(4);
        (await database.ReadAsync<long>("SELECT count(*) FROM pg_index WHERE NOT indisvalid")).ShouldBe(0);
        (await database.ReadAsync<long>("SELECT count(*) FROM pg_attribute WHERE attrelid = 'jobs'::regclass AND attname IN ('lease_for', 'lapsed')")).ShouldBe(2);
    }
}
