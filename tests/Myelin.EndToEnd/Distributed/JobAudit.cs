using System.Diagnostics;
using Myelin.Testing;
using Shouldly;

namespace Myelin.EndToEnd.Distributed;

/// <summary>
/// Every change of a job's state as PostgreSQL committed it, written down by a trigger: whatever the processes believe,
/// here is what happened.
/// </summary>
internal sealed class JobAudit(PostgresDatabase database)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);

    public Task StartAsync() => database.ExecuteAsync(
        """
        CREATE TABLE audit (n bigserial PRIMARY KEY, id text NOT NULL, was smallint NOT NULL, is_now smallint NOT NULL);
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (id, was, is_now) VALUES (NEW.id, OLD.state, NEW.state); RETURN NEW; END $$;
        CREATE TRIGGER audit AFTER UPDATE OF state ON jobs FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION audit();
        """);

    /// <summary>Waits until no job is queued or running, for as long as their number falls.</summary>
    public async Task EndAllAsync(Func<string> logs)
    {
        for (var (open, since) = (long.MaxValue, Stopwatch.StartNew()); open > 0; await Task.Delay(500))
        {
            var now = await CountAsync("SELECT count(*) FROM jobs WHERE state < 2");
            if (now < open)
            {
                (open, since) = (now, Stopwatch.StartNew());
            }

            since.Elapsed.ShouldBeLessThan(s_patience, $"{now} jobs do not end:\n{string.Join('\n', await UnsuccessfulAsync())}\n{logs()}");
        }
    }

    /// <summary>Jobs that did not succeed, the first of them, with what is known of each.</summary>
    public Task<List<string>> UnsuccessfulAsync() => TextsAsync(
        "SELECT id || ' state ' || state || ' attempt ' || attempt || ' key ' || coalesce(key, '-') || ' ' || coalesce(convert_from(error, 'UTF8'), '') FROM jobs WHERE state <> 2 ORDER BY seq LIMIT 20");

    /// <summary>Jobs that did not end exactly once, or moved after their end.</summary>
    public Task<List<string>> NotEndedOnceAsync() => TextsAsync(
        """
        SELECT j.id || ': ended ' || count(a.n) FILTER (WHERE a.is_now >= 2) || ' times, left an end ' || count(a.n) FILTER (WHERE a.was >= 2) || ' times'
        FROM jobs j LEFT JOIN audit a ON a.id = j.id GROUP BY j.id
        HAVING count(a.n) FILTER (WHERE a.is_now >= 2) <> 1 OR count(a.n) FILTER (WHERE a.was >= 2) <> 0
        """);

    /// <summary>Jobs that began before an earlier job of their key had ended.</summary>
    public Task<List<string>> OvertakenAsync() => TextsAsync(
        """
        WITH lives AS (
          SELECT j.key, j.seq, j.id, min(a.n) FILTER (WHERE a.is_now = 1) AS began, max(a.n) AS ended
          FROM jobs j JOIN audit a ON a.id = j.id WHERE j.key IS NOT NULL GROUP BY j.key, j.seq, j.id
        ), pairs AS (SELECT *, lag(ended) OVER (PARTITION BY key ORDER BY seq) AS before FROM lives)
        SELECT id || ' of key ' || key FROM pairs WHERE began < before
        """);

    /// <summary>Ids of a key's jobs in the order in which they were accepted.</summary>
    public Task<List<string>> OfKeyAsync(string key) => TextsAsync("SELECT id FROM jobs WHERE key = $1 ORDER BY seq", key);

    public Task<long> CountAsync(string sql) => database.ReadAsync<long>(sql);

    /// <summary>The one column of every row.</summary>
    public async Task<List<string>> TextsAsync(string sql, params string[] arguments) =>
        [.. await database.ReadAsync<string[]>($"SELECT ARRAY({sql})", arguments)];
}
