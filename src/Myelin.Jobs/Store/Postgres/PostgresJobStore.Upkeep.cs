using System.Collections.Immutable;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Work;
using Myelin.Jobs.Store.Postgres.Statements;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>
/// Upkeep. Every write here carries the fence of this process's hold on it: when another process has taken over since,
/// nothing happens.
/// </summary>
internal sealed partial class PostgresJobStore
{
    private const string Unfenced = $"NOT EXISTS (SELECT 1 FROM leases WHERE name = '{PostgresCoordinatorLease.Name}' AND fence > $1)";

    /// <summary>Counters of processes that were silent for so long are added up.</summary>
    private static readonly TimeSpan s_silence = TimeSpan.FromMinutes(10);

    private long _tidiedAt;

    public async ValueTask<ImmutableArray<JobRecord>> RecoverAsync(
        IReadOnlyCollection<HeldLease> lapsed, DateTimeOffset now, RecoveryPolicy policy, int limit, CancellationToken cancellationToken)
    {
        var fence = Coordinator.Fence;
        var lost = await ReadJobsAsync(
            $"SELECT {JobColumns.Names} FROM jobs WHERE state = 1 AND ($1 OR id = ANY($2)) LIMIT $3",
            p =>
            {
                p.Add(new NpgsqlParameter<bool> { TypedValue = policy.AllLeases });
                p.AddTexts([.. lapsed], l => l.Id);
                p.AddInteger(policy.AllLeases ? limit : lapsed.Count);
            },
            cancellationToken);
        var overdue = await ReadJobsAsync(
            $"SELECT {JobColumns.Names} FROM jobs WHERE state = 0 AND deadline IS NOT NULL AND deadline <= $1 AND attempt = 0 LIMIT $2",
            p =>
            {
                p.AddTime(now);
                p.AddInteger(limit);
            },
            cancellationToken);

        // Changed under a guard that the lease is as it was judged: a heartbeat may come between.
        var guard = policy.AllLeases ? EndGuard.Token : EndGuard.LostLease;
        var judged = lapsed.ToDictionary(l => l.Token, l => l.Until, StringComparer.Ordinal);
        var changes = lost.Where(j => policy.AllLeases || judged.ContainsKey(j.LeaseToken!))
            .Select(j => new EndWrite(
                j.Id, guard, j.LeaseToken, policy.AllLeases ? null : judged[j.LeaseToken!], fence, RecoveryOutcome.Of(j, policy), now, _retention, cancellationToken))
            .Concat(overdue.Select(j => new EndWrite(j.Id, EndGuard.Overdue, token: null, seen: null, fence, new JobOutcome(JobState.Expired), now, _retention, cancellationToken)));
        var changed = await Task.WhenAll(changes.Select(c => _writer.RunAsync(c, cancellationToken)));
        return [.. changed.OfType<JobRecord>()];
    }

    public async ValueTask<ImmutableArray<HeldLease>> LeasesAsync(int limit, CancellationToken cancellationToken) =>
    [
        .. await Pool.QueryAsync(
            Repeat.Harmless,
            "SELECT id, lease_token, lease_until, lease_for FROM jobs WHERE state = 1 ORDER BY id LIMIT $1",
            p => p.AddInteger(limit),
            PostgresJobs.ReadLease,
            cancellationToken),
    ];

    public async ValueTask<ImmutableArray<PurgedJob>> PurgeAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken)
    {
        var purged = await Pool.QueryAsync(
            Repeat.Never,
            $"""
            WITH due AS MATERIALIZED (
              SELECT seq, id, state, attempt, inputs, artifacts FROM jobs WHERE expires_at IS NOT NULL AND NOT purged AND expires_at <= $2 AND {Unfenced}
              ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED
            ), gone AS (
              UPDATE jobs j SET purged = true, inputs = NULL, artifacts = NULL, parameters = NULL, result = NULL, progress = NULL
              FROM due WHERE j.seq = due.seq RETURNING j.id
            ), contents AS (
              DELETE FROM inputs i USING gone WHERE i.job = gone.id RETURNING i.job
            )
            SELECT d.id, d.state, d.attempt, d.inputs, coalesce(c.small, 0)::integer, d.artifacts IS NOT NULL FROM due d
            LEFT JOIN (SELECT job, count(*) AS small FROM contents GROUP BY job) c ON c.job = d.id
            """,
            Due(now, limit),
            static reader => new PostgresRow(reader) is var row
                ? PurgedJob.Of(row.Text(0), (JobState)reader.GetInt16(1), row.Int32(2), row.Bytes(3), row.Int32(4), row.Flag(5)) : null!,
            cancellationToken);
        return [.. purged];
    }

    public async ValueTask<IReadOnlyDictionary<string, bool>> FindPurgedAsync(IReadOnlyCollection<string> ids, CancellationToken cancellationToken)
    {
        var known = await Pool.QueryAsync(
            Repeat.Harmless,
            "SELECT id, purged FROM jobs WHERE id = ANY($1)",
            p => p.AddTexts([.. ids], id => id),
            static row => (Id: row.GetString(0), Purged: row.GetBoolean(1)),
            cancellationToken);
        return known.ToDictionary(k => k.Id, k => k.Purged, StringComparer.Ordinal);
    }

    public async ValueTask<int> ForgetAsync(DateTimeOffset before, int limit, CancellationToken cancellationToken)
    {
        await TidyAsync(cancellationToken);
        return await Pool.ExecuteAsync(
            Repeat.Never,
            $"""
            WITH due AS MATERIALIZED (
              SELECT seq, id FROM jobs WHERE expires_at IS NOT NULL AND purged AND expires_at <= $2 AND {Unfenced}
              ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED
            ), hooks AS (
              DELETE FROM webhooks w USING due WHERE w.job = due.id
            )
            DELETE FROM jobs j USING due WHERE j.seq = due.seq
            """,
            Due(before, limit),
            cancellationToken);
    }

    private Action<NpgsqlParameterCollection> Due(DateTimeOffset until, int limit) => p =>
    {
        p.AddLong(Coordinator.Fence);
        p.AddTime(until);
        p.AddInteger(limit);
    };

    /// <summary>
    /// Counters of processes that are gone become one; the sums stay what they were, also if such a process returns. Jobs
    /// that a process of an older version ended without an end of retention get one.
    /// </summary>
    private async Task TidyAsync(CancellationToken cancellationToken)
    {
        if (_tidiedAt != 0 && _time.GetElapsedTime(_tidiedAt) < s_silence)
        {
            return;
        }

        _tidiedAt = _time.GetTimestamp();
        await Pool.ExecuteAsync(
            Repeat.Never,
            """
            WITH silent AS (
              DELETE FROM queue_depths WHERE slot <> 0 AND touched_at < now() - $1 RETURNING model, priority, depth
            )
            INSERT INTO queue_depths (model, priority, slot, depth) SELECT model, priority, 0, sum(depth) FROM silent GROUP BY model, priority
            ON CONFLICT (model, priority, slot) DO UPDATE SET depth = queue_depths.depth + excluded.depth, touched_at = now()
            """,
            p => p.Add(new NpgsqlParameter<TimeSpan> { TypedValue = s_silence }),
            cancellationToken);
        await Pool.ExecuteAsync(
            Repeat.Harmless,
            "UPDATE jobs SET expires_at = ended_at + $1 WHERE state > 1 AND expires_at IS NULL",
            p => p.AddLong(_retention.Ticks / TimeSpan.TicksPerMicrosecond),
            cancellationToken);
    }
}
