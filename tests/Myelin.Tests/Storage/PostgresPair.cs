using System.Collections.Immutable;
using Myelin.Hosting.Work;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Protocol;
using Myelin.Testing;
using Npgsql;
using Shouldly;

namespace Myelin.Tests.Storage;

/// <summary>One of the two processes dies, the other goes on.</summary>
internal sealed class PostgresPairHarness(PostgresDatabase database, Random random) : IStoreHarness
{
    public async Task<IJobStore> OpenAsync(TimeProvider time) =>
        new PostgresPair(database, random, await OneAsync(time), await OneAsync(time));

    public async Task<IJobStore> CrashAsync(IJobStore store, TimeProvider time, Random random)
    {
        await ((PostgresPair)store).CrashOneAsync(() => OneAsync(time));
        return store;
    }

    private Task<PostgresJobStore> OneAsync(TimeProvider time) => database.OpenAsync(time, retention: JobModel.Retention);
}

/// <summary>
/// Two stores on one database as one: each call goes through either. The depth is counted in the database, and its
/// counters must agree with its rows.
/// </summary>
internal sealed class PostgresPair(PostgresDatabase database, Random random, PostgresJobStore first, PostgresJobStore second) : IJobStore, IAsyncDisposable
{
    private readonly PostgresJobStore[] _stores = [first, second];
    private readonly NpgsqlDataSource _source = NpgsqlDataSource.Create(database.Connection);

    private PostgresJobStore Any => _stores[random.Next(2)];

    public async Task CrashOneAsync(Func<Task<PostgresJobStore>> open)
    {
        var which = random.Next(2);
        await _stores[which].AbandonAsync();
        _stores[which] = await open();
    }

    public ValueTask<InsertResult> InsertAsync(JobRecord job, ImmutableArray<SmallInput> inputs, int queueLimit, CancellationToken cancellationToken) =>
        Any.InsertAsync(job, inputs, queueLimit, cancellationToken);

    public ValueTask<ReadOnlyMemory<byte>?> ReadInputAsync(string id, string name, CancellationToken cancellationToken) => Any.ReadInputAsync(id, name, cancellationToken);

    public ValueTask<ClaimResult> ClaimAsync(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken) =>
        Any.ClaimAsync(id, lease, now, cancellationToken);

    public ValueTask<HeartbeatResult> HeartbeatAsync(IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken) =>
        Any.HeartbeatAsync(leases, until, cancellationToken);

    public ValueTask<bool> ProgressAsync(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken) =>
        Any.ProgressAsync(id, token, progress, eventId, cancellationToken);

    public ValueTask<JobRecord?> ApplyAsync(string id, string token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken) =>
        Any.ApplyAsync(id, token, outcome, now, cancellationToken);

    public ValueTask<CancelResult> CancelAsync(string id, DateTimeOffset now, CancellationToken cancellationToken) =>
        Any.CancelAsync(id, now, cancellationToken);

    public ValueTask<JobRecord?> GetAsync(string id, CancellationToken cancellationToken) => Any.GetAsync(id, cancellationToken);

    public ValueTask<bool> KnowsAsync(string tenant, string idempotencyKey, CancellationToken cancellationToken) => Any.KnowsAsync(tenant, idempotencyKey, cancellationToken);

    public ValueTask<ImmutableArray<JobRecord>> ListAsync(JobFilter filter, string? before, int limit, CancellationToken cancellationToken) =>
        Any.ListAsync(filter, before, limit, cancellationToken);

    public ValueTask<ImmutableArray<JobHint>> QueuedAsync(JobHint? after, int limit, CancellationToken cancellationToken) => Any.QueuedAsync(after, limit, cancellationToken);

    public ValueTask<JobRecord?> ReturnAsync(JobRecord attempt, DateTimeOffset until, CancellationToken cancellationToken) =>
        Any.ReturnAsync(attempt, until, cancellationToken);

    public ValueTask<ImmutableArray<HeldLease>> LeasesAsync(int limit, CancellationToken cancellationToken) => Any.LeasesAsync(limit, cancellationToken);

    public ValueTask<ImmutableArray<JobRecord>> RecoverAsync(
        IReadOnlyCollection<HeldLease> lapsed, DateTimeOffset now, RecoveryPolicy policy, int limit, CancellationToken cancellationToken) =>
        Any.RecoverAsync(lapsed, now, policy, limit, cancellationToken);

    public ValueTask<IReadOnlyDictionary<string, bool>> FindPurgedAsync(IReadOnlyCollection<string> ids, CancellationToken cancellationToken) => Any.FindPurgedAsync(ids, cancellationToken);

    public ValueTask<ImmutableArray<PurgedJob>> PurgeAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken) => Any.PurgeAsync(now, limit, cancellationToken);

    public ValueTask<int> ForgetAsync(DateTimeOffset before, int limit, CancellationToken cancellationToken) => Any.ForgetAsync(before, limit, cancellationToken);

    public ValueTask<int> CountQueuedAsync(string tenant, string model, int most, CancellationToken cancellationToken) =>
        Any.CountQueuedAsync(tenant, model, most, cancellationToken);

    public ValueTask<IReadOnlyDictionary<string, int>> PositionsAsync(IReadOnlyCollection<JobRecord> jobs, CancellationToken cancellationToken) =>
        Any.PositionsAsync(jobs, cancellationToken);

    public int QueueDepth(string model)
    {
        using var command = _source.CreateCommand(
            "SELECT (SELECT count(*) FROM jobs WHERE state = 0 AND model = $1)::integer, (SELECT coalesce(sum(depth), 0) FROM queue_depths WHERE model = $1)::integer");
        command.Parameters.AddWithValue(model);
        using var row = command.ExecuteReader();
        row.Read().ShouldBeTrue();
        row.GetInt32(1).ShouldBe(row.GetInt32(0), "the counters do not agree with the rows");
        return row.GetInt32(0);
    }

    public IReadOnlyDictionary<string, int> QueueDepths() => throw new NotSupportedException();

    public async ValueTask DisposeAsync()
    {
        await _stores[0].DisposeAsync();
        await _stores[1].DisposeAsync();
        await _source.DisposeAsync();
    }
}
