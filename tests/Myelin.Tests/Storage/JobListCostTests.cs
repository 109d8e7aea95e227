using System.Text.Json;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Protocol;
using Myelin.Testing;
using Npgsql;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>
/// What a page of a list costs, in steps of the engine: the same with a long history and a long queue of others as
/// without. Few jobs of a small tenant, of a rare model and of a rare ending lie at the far end of it.
/// </summary>
public sealed class JobListCostTests
{
    private const int Page = 20;

    private static readonly JobFilter[] s_filters =
    [
        new("small"), new("small", State: JobState.Queued), new("small", State: JobState.Cancelled), new("nobody"),
        new("big"), new("big", "rare"), new("big", State: JobState.Failed), new("big", "m", JobState.Failed), new("big", "rare", JobState.Failed),
        new("big", State: JobState.Queued), new("big", "m", JobState.Queued), new("big", "m"), new("big", "m", JobState.Running),
    ];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Lists_OnSqlite_CostTheSameWhateverLiesBefore()
    {
        using var folder = new TemporaryFolder();
        await using var store = SqliteJobStore.Open(folder.Path, TimeProvider.System, TimeSpan.FromHours(1), _ => { });
        await FillAsync(0, 4_000);
        var before = await MeasureAsync();
        await FillAsync(4_000, 60_000);
        var after = await MeasureAsync();

        foreach (var (filter, i) in s_filters.Select((f, i) => (f, i)))
        {
            after.Lists[i].ShouldBeLessThan((before.Lists[i] * 11 / 10) + 200, $"{filter}: {before.Lists[i]} steps with 4,000 jobs");
        }

        after.Positions.ShouldBeLessThan(before.Positions * 11 / 10);

        Task FillAsync(int from, int to) => store.Database.WriteAsync(
            session =>
            {
                session.Execute(Fill(from, to, "substr('000000' || n, -6)", "WITH RECURSIVE s(n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM s WHERE n < {1})", "0"));
                return true;
            },
            Token);

        async Task<(List<long> Lists, long Positions)> MeasureAsync()
        {
            var page = await store.ListAsync(new JobFilter("big", "m", JobState.Queued), null, 100, Token);
            page.Length.ShouldBe(100);
            return await store.Database.ReadAsync(
                session =>
                {
                    var lists = s_filters.Select(f => Steps(session, () => JobLists.List(session, f, null, Page))).ToList();
                    return (lists, Steps(session, () => JobLists.Positions(session, page, new QueueDepths())));
                },
                Token);
        }

        static long Steps(SqliteSession session, Action run)
        {
            run(); // prepared
            var start = session.Steps;
            run();
            return session.Steps - start;
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Lists_OnPostgres_ReadFewBlocksWhateverLiesBefore(bool analyzed)
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var store = await database.OpenAsync(TimeProvider.System);
        await FillAsync(0, 500);
        await database.ExecuteAsync("ANALYZE jobs"); // what the planner believes is this, unless it learns better
        await FillAsync(500, 60_000);
        if (analyzed)
        {
            await database.ExecuteAsync("ANALYZE jobs");
        }

        await using var connection = new NpgsqlConnection(database.Connection + $";Pooling=false;Options={PostgresSources.Session}");
        await connection.OpenAsync(Token);
        await ExecuteAsync($"PREPARE list(integer, text, text, smallint[]) AS {PostgresJobStore.ListAll}");
        await ExecuteAsync($"PREPARE of_model(integer, text, text, smallint[], text) AS {PostgresJobStore.ListOfModel}");
        await ExecuteAsync($"PREPARE ends(text[], smallint[], integer) AS {PostgresJobStore.Ends}");
        foreach (var filter in s_filters)
        {
            var states = filter.State is { } state ? $"{(int)state}" : "0,1,2,3,4,5";
            var (blocks, plan) = await ExplainAsync(filter.Model is { } model
                ? $"of_model({Page}, '{filter.Tenant}', '~', '{{{states}}}', '{model}')"
                : $"list({Page}, '{filter.Tenant}', '~', '{{{states}}}')");
            blocks.ShouldBeLessThan(400, $"{filter} {plan.Length}");
            plan.ShouldNotContain("Seq Scan");
        }

        (await ExplainAsync("ends('{m}', '{1}', 500)")).Blocks.ShouldBeLessThan(300);

        Task FillAsync(int from, int to) => database.ExecuteAsync(
            Fill(from, to, "lpad(n::text, 6, '0')", "WITH s AS (SELECT generate_series({0}, {1}) AS n)", "false"));

        async Task ExecuteAsync(string sql)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await command.ExecuteNonQueryAsync(Token);
        }

        async Task<(int Blocks, string Plan)> ExplainAsync(string call)
        {
            await using var command = new NpgsqlCommand($"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {call}", connection);
            var plan = (string)(await command.ExecuteScalarAsync(Token))!;
            using var json = JsonDocument.Parse(plan);
            var top = json.RootElement[0].GetProperty("Plan");
            return (top.GetProperty("Shared Hit Blocks").GetInt32() + top.GetProperty("Shared Read Blocks").GetInt32(), plan);
        }
    }

    /// <summary>
    /// The first 300 are a small tenant's, or of a rare model, or failed; then everything succeeded but for a
    /// queue, the most of it the newest third.
    /// </summary>
    private static string Fill(int from, int to, string digits, string numbers, string no) => string.Format(
        System.Globalization.CultureInfo.InvariantCulture,
        $"""
        {numbers}
        INSERT INTO jobs (id, tenant, model, priority, state, attempt, failures, event_id, cancel_requested, purged, created_at, result)
        SELECT '01' || {digits}, CASE WHEN n < 100 THEN 'small' ELSE 'big' END, CASE WHEN n BETWEEN 100 AND 199 THEN 'rare' ELSE 'm' END, 1,
          CASE WHEN n < 300 THEN n % 2 * 3 WHEN n BETWEEN 1000 AND 1999 OR n > 40000 THEN 0 ELSE 2 END, 0, 0, 0, {no}, {no}, n, NULL FROM s
        """,
        from,
        to - 1);
}
