using System.Collections.Concurrent;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Jobs.Upkeep;
using Myelin.Protocol;
using Myelin.Testing;
using Npgsql;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>Several processes on one database: a store is what each of them has.</summary>
public sealed class PostgresSharingTests : IAsyncLifetime
{
    private const int NoLimit = 1_000_000;

    private readonly JobIds _ids = new(TimeProvider.System);
    private PostgresDatabase _database = null!;
    private PostgresJobStore[] _stores = [];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    public async ValueTask InitializeAsync()
    {
        _database = await PostgresDatabase.CreateAsync(Token);
        _stores = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => _database.OpenAsync(TimeProvider.System)));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var store in _stores)
        {
            await store.DisposeAsync();
        }
    }

    /// <summary>The three stores of this class were opened at once on an empty database.</summary>
    [Fact]
    public async Task Open_SeveralAtOnce_MigratesOnce()
    {
        (await _database.ReadAsync<long>("SELECT count(*) FROM migrations")).ShouldBe(MigrationFiles.OfPostgres().Count);
    }

    [Fact]
    public async Task Open_MadeByANewerVersion_IsRefusedOnlyWhereThatOneSaysSo()
    {
        await _database.ExecuteAsync("INSERT INTO migrations (number, name, incompatible) VALUES (9000, '9000_more', false)");
        await (await _database.OpenAsync(TimeProvider.System)).DisposeAsync();
        await _database.ExecuteAsync("INSERT INTO migrations (number, name, incompatible) VALUES (9001, '9001_other', true)");

        (await Should.ThrowAsync<StorageException>(() => _database.OpenAsync(TimeProvider.System))).Message.ShouldContain("9001");
    }

    [Fact]
    public void Migrations_EveryTableOfSqlite_HasAHomeInPostgres() =>
        MigrationFiles.OfSqlite().Select(f => f.Name).ShouldBeSubsetOf(MigrationFiles.OfPostgres().Select(f => f.Name));

    [Fact]
    public async Task Claim_EveryJobByEveryProcess_IsGivenOnce()
    {
        var ids = await InsertManyAsync(300, _ => null);
        var claimed = new ConcurrentBag<string>();

        await Task.WhenAll(_stores.SelectMany(store => ids.Select(async id =>
        {
            if ((await store.ClaimAsync(id, NewLease(), Now, Token)).Status == ClaimStatus.Claimed)
            {
                claimed.Add(id);
            }
        })));

        claimed.Order().ShouldBe(ids.Order());
        await Wait.UntilAsync(() => _stores.All(s => s.QueueDepth("m") == 0));
    }

    /// <summary>Workers on three processes fight for few keys; whoever gets one checks that nobody else has it.</summary>
    [Fact]
    public async Task Claim_KeyedJobsByManyWorkers_OneAtATimeInOrder()
    {
        var ids = await InsertManyAsync(60, i => "k" + (i % 5));
        var open = new ConcurrentDictionary<string, bool>(ids.Select(id => KeyValuePair.Create(id, true)));
        var running = new ConcurrentDictionary<string, string>();
        var order = new ConcurrentDictionary<string, ConcurrentQueue<long>>();

        await Task.WhenAll(_stores.SelectMany(store => Enumerable.Range(0, 2).Select(async _ =>
        {
            while (!open.IsEmpty)
            {
                foreach (var id in open.Keys)
                {
                    var lease = NewLease();
                    if ((await store.ClaimAsync(id, lease, Now, Token)).Job is not { State: JobState.Running } job)
                    {
                        continue;
                    }

                    running.TryAdd(job.Key!, id).ShouldBeTrue($"two of {job.Key} run");
                    order.GetOrAdd(job.Key!, _ => []).Enqueue(job.Sequence);
                    await Task.Yield();
                    running.TryRemove(job.Key!, out string? _);
                    (await store.ApplyAsync(id, lease.Token, Success(), Now, Token)).ShouldNotBeNull();
                    open.TryRemove(id, out bool _);
                }
            }
        })));

        order.Values.ShouldAllBe(sequences => sequences.SequenceEqual(sequences.Order()));
        order.Values.Sum(s => s.Count).ShouldBe(60);
    }

    /// <summary>An earlier insert becomes visible after a later one: whoever runs first, the other waits.</summary>
    [Fact]
    public async Task Claim_EarlierJobOfKeyAppearsLate_WaitsForTheRunningOne()
    {
        await using var connection = new NpgsqlConnection(_database.Connection);
        await connection.OpenAsync(Token);
        await using var transaction = await connection.BeginTransactionAsync(Token);
        var (late, running) = (_ids.Next(), NewJob() with { Key = "k" });
        await ExecuteAsync(connection, $"INSERT INTO jobs (id, tenant, model, priority, created_at, key) VALUES ('{late}', 't', 'm', 1, 0, 'k')");
        await _stores[0].InsertAsync(running, [], NoLimit, Token);
        var lease = NewLease();
        (await _stores[0].ClaimAsync(running.Id, lease, Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);

        await transaction.CommitAsync(Token);

        (await _stores[1].ClaimAsync(late, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.KeyBusy);
        await _stores[0].ApplyAsync(running.Id, lease.Token, Success(), Now, Token);
        (await _stores[1].ClaimAsync(late, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
    }

    /// <summary>The same, and the other claim has not even been committed: the index decides, and the loser looks again.</summary>
    [Fact]
    public async Task Claim_KeyClaimedByAnOpenTransaction_WaitsForIt()
    {
        var (first, second) = (NewJob() with { Key = "k" }, NewJob() with { Key = "k" });
        await _stores[0].InsertAsync(first, [], NoLimit, Token);
        await _stores[0].InsertAsync(second, [], NoLimit, Token);
        await using var connection = new NpgsqlConnection(_database.Connection);
        await connection.OpenAsync(Token);
        await using var transaction = await connection.BeginTransactionAsync(Token);
        await ExecuteAsync(connection, $"UPDATE jobs SET state = 1, lease_token = 'x', lease_until = 0 WHERE id = '{second.Id}'");

        var claim = _stores[1].ClaimAsync(first.Id, NewLease(), Now, Token).AsTask();
        await Wait.UntilAsync(async () =>
            await _database.ReadAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
        await transaction.CommitAsync(Token);

        (await claim).Status.ShouldBe(ClaimStatus.KeyBusy);
    }

    [Fact]
    public async Task Claim_RowHeldByAnother_IsPutOffAndHoldsUpNobody()
    {
        var (held, free) = ((await InsertManyAsync(1, _ => null))[0], (await InsertManyAsync(1, _ => null))[0]);
        await using var connection = new NpgsqlConnection(_database.Connection);
        await connection.OpenAsync(Token);
        await using var transaction = await connection.BeginTransactionAsync(Token);
        await ExecuteAsync(connection, $"SELECT 1 FROM jobs WHERE id = '{held}' FOR UPDATE");

        var claims = await Task.WhenAll(new[] { held, free }.Select(id => _stores[0].ClaimAsync(id, NewLease(), Now, Token).AsTask()));
        await transaction.RollbackAsync(Token);

        claims[0].Status.ShouldBe(ClaimStatus.NotYet);
        claims[0].Job!.NotBefore.ShouldNotBeNull().ShouldBeLessThan(Now.AddSeconds(5));
        claims[1].Status.ShouldBe(ClaimStatus.Claimed);
        (await _stores[0].ClaimAsync(held, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
    }

    /// <summary>What a process leaves that was frozen in the middle of a write: upkeep goes round it, others work on.</summary>
    [Fact]
    public async Task Recover_RowHeldByAnother_IsLeftForTheNextRound()
    {
        var ids = await InsertManyAsync(2, _ => null);
        foreach (var id in ids)
        {
            await _stores[0].ClaimAsync(id, NewLease() with { Until = Now.AddSeconds(-1) }, Now, Token);
        }

        await using var connection = new NpgsqlConnection(_database.Connection);
        await connection.OpenAsync(Token);
        await using var transaction = await connection.BeginTransactionAsync(Token);
        await ExecuteAsync(connection, $"SELECT 1 FROM jobs WHERE id = '{ids[0]}' FOR UPDATE");
        var policy = new RecoveryPolicy { MaxAttempts = 3 };

        (await _stores[1].RecoverAsync(Now, policy, 100, Token)).ShouldHaveSingleItem().Id.ShouldBe(ids[1]);
        await transaction.RollbackAsync(Token);
        (await _stores[1].RecoverAsync(Now, policy, 100, Token)).ShouldHaveSingleItem().Id.ShouldBe(ids[0]);
    }

    [Fact]
    public async Task Insert_SameIdempotencyKeyEverywhere_IsAcceptedOnce()
    {
        var results = await Task.WhenAll(Enumerable.Range(0, 90).Select(i => _stores[i % 3].InsertAsync(
            NewJob() with { IdempotencyKey = "k" + (i % 4), BodyHash = "h" }, [], NoLimit, Token).AsTask()));

        results.Count(r => r.Status == InsertStatus.Inserted).ShouldBe(4);
        results.Count(r => r.Status == InsertStatus.Duplicate).ShouldBe(86);
        results.Select(r => r.Job!.Id).Distinct().Count().ShouldBe(4);
        (await _database.ReadAsync<long>("SELECT sum(depth) FROM queue_depths")).ShouldBe(4);
    }

    [Fact]
    public async Task Insert_PastTheLimitByEveryProcess_NeverExceedsIt()
    {
        var results = await Task.WhenAll(Enumerable.Range(0, 300).Select(i => _stores[i % 3].InsertAsync(NewJob(), [], 100, Token).AsTask()));

        results.Count(r => r.Status == InsertStatus.Inserted).ShouldBe(100);
        results.Count(r => r.Status == InsertStatus.QueueFull).ShouldBe(200);
        (await _database.ReadAsync<long>("SELECT count(*) FROM jobs")).ShouldBe(100);
    }

    [Fact]
    public async Task QueueDepth_ChangedByOthers_IsSeenSoon()
    {
        await InsertManyAsync(3, _ => null);

        await Wait.UntilAsync(() => _stores.All(s => s.QueueDepth("m") == 3));
    }

    [Fact]
    public async Task Fold_CountersOfSilentProcesses_KeepTheirSum()
    {
        var ids = await InsertManyAsync(9, _ => null);
        await _stores[1].ClaimAsync(ids[0], NewLease(), Now, Token);
        await _database.ExecuteAsync("UPDATE queue_depths SET touched_at = now() - interval '1 hour'");

        await _stores[0].ForgetAsync(Now, 10, Token);
        await _stores[1].ClaimAsync(ids[1], NewLease(), Now, Token);

        (await _database.ReadAsync<long>("SELECT sum(depth) FROM queue_depths")).ShouldBe(7);
        (await _database.ReadAsync<long>("SELECT count(*) FROM queue_depths")).ShouldBe(2, "one of the past, one of the claim after it");
    }

    [Fact]
    public async Task Webhooks_TakenByEveryProcess_AreGivenOnce()
    {
        var job = NewJob() with { Callback = new JobCallback("https://example.org/hook") };
        await _stores[0].InsertAsync(job, [], NoLimit, Token);
        await _stores[0].CancelAsync(job.Id, Now, Token);

        var taken = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => _stores[i % 3].TakeDueAsync(Now, Now.AddMinutes(1), WebhookTurn.Of(10), Token).AsTask()));

        taken.Sum(t => t.Due.Length).ShouldBe(1);
    }

    /// <summary>Also where it would only make up for a mark that was not written.</summary>
    [Fact]
    public async Task Ownership_OfACoordinatorThatIsHistory_LeavesTheMark()
    {
        using var folder = new TemporaryFolder();
        var artifacts = new FolderArtifacts(folder.Path);
        var store = _stores[0];
        var installations = new PostgresInstallationStore(store.Pool, store.Coordinator);
        var ownership = new BlobOwnership(installations, store, artifacts, TimeProvider.System);
        (await store.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        (await ownership.TakeAsync(Token)).Ownership.ShouldBe(Ownership.Own);
        (await installations.AdvanceAsync("not written into the mark", Token)).ShouldBeTrue();
        var mark = await artifacts.ReadMarkAsync(Token);
        await store.Coordinator.ReleaseAsync(Token);
        (await _stores[1].Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);

        (await ownership.TakeAsync(Token)).Ownership.ShouldBe(Ownership.Superseded);

        (await artifacts.ReadMarkAsync(Token)).ShouldBe(mark);
    }

    [Fact]
    public async Task Write_TextThatNoDatabaseTakes_HarmsNoOther()
    {
        var good = Enumerable.Range(0, 20).Select(_ => _stores[0].InsertAsync(NewJob(), [], NoLimit, Token).AsTask()).ToList();
        var bad = _stores[0].InsertAsync(NewJob() with { Key = "a\0b" }, [], NoLimit, Token).AsTask();

        (await Task.WhenAll(good)).ShouldAllBe(r => r.Status == InsertStatus.Inserted);
        await Should.ThrowAsync<StorageException>(() => bad);
        (await _stores[0].ListAsync(new JobFilter("t", "a\0b"), null, 10, Token)).ShouldBeEmpty();
    }

    private static JobOutcome Success() => new(JobState.Succeeded);

    private static JobLease NewLease() => new("w", Guid.NewGuid().ToString("n"), Now.AddMinutes(1));

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Token);
    }

    private JobRecord NewJob() => new() { Id = _ids.Next(), Tenant = "t", Model = "m", CreatedAt = Now };

    private async Task<List<string>> InsertManyAsync(int count, Func<int, string?> key)
    {
        var results = await Task.WhenAll(Enumerable.Range(0, count).Select(i => _stores[i % 3].InsertAsync(NewJob() with { Key = key(i) }, [], NoLimit, Token).AsTask()));
        results.ShouldAllBe(r => r.Status == InsertStatus.Inserted);
        return [.. results.Select(r => r.Job!.Id)];
    }
}
