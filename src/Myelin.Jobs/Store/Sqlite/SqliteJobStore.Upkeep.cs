using System.Collections.Immutable;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Hosting.Work;

namespace Myelin.Jobs.Store.Sqlite;

internal sealed partial class SqliteJobStore
{
    public async ValueTask<ImmutableArray<JobRecord>> RecoverAsync(
        IReadOnlyCollection<HeldLease> lapsed, DateTimeOffset now, RecoveryPolicy policy, int limit, CancellationToken cancellationToken) =>
        await Database.WriteAsync(
            session =>
            {
                var changed = ImmutableArray.CreateBuilder<JobRecord>();
                foreach (var job in policy.AllLeases ? RunningJobs(session, limit) : LapsedJobs(session, lapsed))
                {
                    var outcome = RecoveryOutcome.Of(job, policy);
                    changed.Add(End(session, job, outcome, [], JobColumns.Json(outcome.Error, JsonContext.Default.Problem), now));
                }

                foreach (var job in OverdueJobs(session, now, limit))
                {
                    changed.Add(End(session, job, new JobOutcome(JobState.Expired), [], [], now));
                }

                return changed.DrainToImmutable();
            },
            cancellationToken);

    public async ValueTask<ImmutableArray<HeldLease>> LeasesAsync(int limit, CancellationToken cancellationToken) =>
        await Database.ReadAsync(
            session =>
            {
                using var rows = session.Prepare("SELECT id, lease_token, lease_until, lease_for FROM jobs WHERE state = 1 LIMIT ?1");
                rows.Bind(1, limit);
                var held = ImmutableArray.CreateBuilder<HeldLease>();
                while (rows.Step())
                {
                    held.Add(JobRow.ReadLease(rows));
                }

                return held.DrainToImmutable();
            },
            cancellationToken);

    public async ValueTask<ImmutableArray<PurgedJob>> PurgeAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken) =>
        await Database.WriteAsync(
            session =>
            {
                var purged = ImmutableArray.CreateBuilder<PurgedJob>();
                foreach (var job in Due(session, now, limit))
                {
                    using var inputs = session.Prepare("DELETE FROM inputs WHERE job = ?1");
                    inputs.Bind(1, job.Id);
                    purged.Add(PurgedJob.Of(job.Id, job.State, job.Attempt, job.Inputs, inputs.Run(), job.Results));
                    using var update = session.Prepare(
                        "UPDATE jobs SET purged = 1, inputs = NULL, artifacts = NULL, parameters = NULL, result = NULL, progress = NULL WHERE seq = ?1");
                    update.Bind(1, job.Sequence);
                    update.Run();
                }

                return purged.DrainToImmutable();
            },
            cancellationToken);

    public ValueTask<IReadOnlyDictionary<string, bool>> FindPurgedAsync(IReadOnlyCollection<string> ids, CancellationToken cancellationToken) =>
        Database.ReadAsync<IReadOnlyDictionary<string, bool>>(
            session =>
            {
                var known = new Dictionary<string, bool>(ids.Count, StringComparer.Ordinal);
                foreach (var id in ids)
                {
                    using var row = session.Prepare("SELECT purged FROM jobs WHERE id = ?1");
                    row.Bind(1, id);
                    if (row.Step())
                    {
                        known[id] = row.Flag(0);
                    }
                }

                return known;
            },
            cancellationToken);

    public async ValueTask<int> ForgetAsync(DateTimeOffset before, int limit, CancellationToken cancellationToken) =>
        await Database.WriteAsync(
            session =>
            {
                using var hooks = session.Prepare(
                    """
                    DELETE FROM webhooks WHERE job IN
                      (SELECT id FROM jobs WHERE expires_at IS NOT NULL AND purged = 1 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
                    """);
                hooks.Bind(1, before);
                hooks.Bind(2, limit);
                hooks.Run();
                using var rows = session.Prepare(
                    """
                    DELETE FROM jobs WHERE seq IN
                      (SELECT seq FROM jobs WHERE expires_at IS NOT NULL AND purged = 1 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
                    """);
                rows.Bind(1, before);
                rows.Bind(2, limit);
                return rows.Run();
            },
            cancellationToken);

    private static List<(long Sequence, string Id, JobState State, int Attempt, byte[] Inputs, bool Results)> Due(SqliteSession session, DateTimeOffset now, int limit)
    {
        using var rows = session.Prepare(
            """
            SELECT seq, id, state, attempt, inputs, artifacts IS NOT NULL FROM jobs
            WHERE expires_at IS NOT NULL AND purged = 0 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2
            """);
        rows.Bind(1, now);
        rows.Bind(2, limit);
        var due = new List<(long, string, JobState, int, byte[], bool)>();
        while (rows.Step())
        {
            due.Add((rows.Int64(0), rows.Text(1), (JobState)rows.Int32(2), rows.Int32(3), rows.Copy(4), rows.Flag(5)));
        }

        return due;
    }

    private static ImmutableArray<JobRecord> RunningJobs(SqliteSession session, int limit)
    {
        using var rows = session.Prepare($"SELECT {JobColumns.Names} FROM jobs WHERE state = 1 LIMIT ?1");
        rows.Bind(1, limit);
        return ReadAll(rows);
    }

    /// <summary>Those whose lease is still as it was read.</summary>
    private static ImmutableArray<JobRecord> LapsedJobs(SqliteSession session, IReadOnlyCollection<HeldLease> lapsed) =>
    [
        .. from lease in lapsed
           let job = Find(session, lease.Id)
           where job is { State: JobState.Running } && job.LeaseToken == lease.Token && job.LeaseUntil == lease.Until
           select job,
    ];

    private static ImmutableArray<JobRecord> OverdueJobs(SqliteSession session, DateTimeOffset now, int limit)
    {
        using var rows = session.Prepare(
            $"SELECT {JobColumns.Names} FROM jobs WHERE state = 0 AND deadline IS NOT NULL AND deadline <= ?1 AND attempt = 0 LIMIT ?2");
        rows.Bind(1, now);
        rows.Bind(2, limit);
        return ReadAll(rows);
    }
}
