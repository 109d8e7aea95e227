using System.Collections.Concurrent;
using System.Diagnostics;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Protocol;
using Myelin.Testing;
using Npgsql;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>The database goes away, in every way that a test can make it.</summary>
public sealed class PostgresOutageTests(PostgresOutageTests.OwnServer own) : IClassFixture<PostgresOutageTests.OwnServer>
{
    private const int NoLimit = 1_000_000;

    private readonly JobIds _ids = new(TimeProvider.System);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    /// <summary>
    /// Two processes accept, claim and end jobs while the server is killed under them. Whatever was answered is true, and
    /// nothing happened twice.
    /// </summary>
    [Fact]
    public async Task Load_ServerKilledTwice_KeepsWhatWasAnsweredAndGoesOn()
    {
        var server = await own.GetAsync();
        var database = await PostgresDatabase.CreateAsync(server, Token);
        var stores = await Task.WhenAll(database.OpenAsync(TimeProvider.System, TimeSpan.FromSeconds(30)), database.OpenAsync(TimeProvider.System, TimeSpan.FromSeconds(30)));
        var accepted = new ConcurrentDictionary<string, long>();
        var ended = new ConcurrentDictionary<string, string>();
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 16).Select(i => Task.Run(() => WorkAsync(stores[i % 2], accepted, ended, stop.Token), Token)).ToList();

        for (var kill = 0; kill < 2; kill++)
        {
            var before = ended.Count;
            await Wait.UntilAsync(() => ended.Count > before + 50);
            await server.KillAsync();
            await server.RestartAsync(Token);
        }

        var last = ended.Count;
        await Wait.UntilAsync(() => ended.Count > last + 50);
        await stop.CancelAsync();
        await Task.WhenAll(load);

        foreach (var (id, sequence) in accepted)
        {
            var job = (await stores[0].GetAsync(id, Token)).ShouldNotBeNull($"{id} was accepted and is gone");
            job.Sequence.ShouldBe(sequence);
            job.Attempt.ShouldBe(ended.ContainsKey(id) ? 1 : job.Attempt);
            job.State.ShouldBe(ended.ContainsKey(id) ? JobState.Succeeded : job.State);
        }

        (await database.ReadAsync<long>("SELECT count(*) FROM jobs")).ShouldBe(accepted.Count, "every call was answered, so there is no other row");
        (await database.ReadAsync<long>("SELECT count(*) FROM webhooks")).ShouldBe(ended.Count);
        (await database.ReadAsync<long>("SELECT coalesce(sum(depth), 0) FROM queue_depths"))
            .ShouldBe(await database.ReadAsync<long>("SELECT count(*) FROM jobs WHERE state = 0"));
        TestContext.Current.TestOutputHelper!.WriteLine($"{accepted.Count} accepted, {ended.Count} ended over two kills");
        await stores[0].DisposeAsync();
        await stores[1].DisposeAsync();
    }

    [Fact]
    public async Task Calls_ServerAwayForLonger_FailWithTheSeamsFaultAndWorkAgainLater()
    {
        var server = await own.GetAsync();
        var database = await PostgresDatabase.CreateAsync(server, Token);
        await using var store = await database.OpenAsync(TimeProvider.System, TimeSpan.FromMilliseconds(300));
        var job = NewJob();
        await store.InsertAsync(job, [], NoLimit, Token);
        await server.KillAsync();

        var clock = Stopwatch.StartNew();
        await Should.ThrowAsync<StorageUnavailableException>(async () => await store.InsertAsync(NewJob(), [], NoLimit, Token));
        await Should.ThrowAsync<StorageUnavailableException>(async () => await store.ClaimAsync(job.Id, NewLease(), Now, Token));
        var read = await Should.ThrowAsync<StorageUnavailableException>(async () => await store.GetAsync(job.Id, Token));
        await Should.ThrowAsync<StorageUnavailableException>(async () => await store.TakeDueAsync(Now, Now, WebhookTurn.Of(10), Token));
        clock.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(30));
        read.ToString().ShouldNotContain(PostgresServer.Password);

        await server.RestartAsync(Token);

        await Wait.UntilAsync(() => TryAsync(async () => await store.InsertAsync(NewJob(), [], NoLimit, Token)));
        (await store.ClaimAsync(job.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
        (await database.ReadAsync<long>("SELECT count(*) FROM jobs")).ShouldBe(2);
    }

    [Fact]
    public async Task Writes_AnswerLostAfterTheCommit_KnowTheirOwnWork()
    {
        var server = await PostgresServer.SharedAsync();
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var proxy = new CuttableProxy(server.Port);
        await using var store = await OpenThroughAsync(proxy, database, more: "");
        var job = NewJob() with { Callback = new JobCallback("https://example.org/hook") };
        var (keyed, queued, lease) = (NewJob() with { IdempotencyKey = "k", BodyHash = "h" }, NewJob(), NewLease());

        (await LostAsync(() => store.InsertAsync(job, [new SmallInput("a", new byte[] { 1 })], NoLimit, Token).AsTask())).Status.ShouldBe(InsertStatus.Inserted);
        (await LostAsync(() => store.InsertAsync(keyed, [], NoLimit, Token).AsTask())).Job!.Id.ShouldBe(keyed.Id);
        (await LostAsync(() => store.InsertAsync(queued, [], NoLimit, Token).AsTask())).Status.ShouldBe(InsertStatus.Inserted);
        store.QueueDepth("m").ShouldBe(3);
        var claim = await LostAsync(() => store.ClaimAsync(job.Id, lease, Now, Token).AsTask());
        (claim.Status, claim.Job!.Attempt).ShouldBe((ClaimStatus.Claimed, 1));
        (await LostAsync(() => store.HeartbeatAsync([(job.Id, lease.Token)], Now.AddMinutes(2), Token).AsTask())).Lost.ShouldBeEmpty();
        var outcome = new JobOutcome(JobState.Succeeded) { Result = "{}"u8.ToArray() };
        (await LostAsync(() => store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token).AsTask())).ShouldNotBeNull().State.ShouldBe(JobState.Succeeded);
        (await LostAsync(() => store.CancelAsync(queued.Id, Now, Token).AsTask())).Status.ShouldBe(CancelStatus.Cancelled);

        (await store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token)).ShouldBeNull("a second apply of somebody else's is stale, as ever");
        (await database.ReadAsync<long>("SELECT count(*) FROM jobs")).ShouldBe(3);
        (await database.ReadAsync<long>("SELECT count(*) FROM webhooks")).ShouldBe(1);
        store.QueueDepth("m").ShouldBe(1);

        async Task<T> LostAsync<T>(Func<Task<T>> call)
        {
            var swallowed = proxy.Swallowed;
            proxy.SwallowNextAnswers();
            var result = await call();
            proxy.Swallowed.ShouldBeGreaterThan(swallowed, "no answer was lost");
            return result;
        }
    }

    /// <summary>
    /// The worker sends its outcome, is cut off, and its lease lapses meanwhile: the outcome that it sends again is not
    /// stored by that. It hears so, comes back and is not charged.
    /// </summary>
    [Fact]
    public async Task Apply_RepeatedAfterTheLeaseLapsed_IsNotTakenForStored()
    {
        var server = await PostgresServer.SharedAsync();
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var coordinator = await database.OpenAsync(TimeProvider.System);
        await coordinator.Coordinator.HoldAsync(Token);
        await using var proxy = new CuttableProxy(server.Port);
        await using var worker = await OpenThroughAsync(proxy, database, more: ";Timeout=1;Command Timeout=1;Cancellation Timeout=200", patience: TimeSpan.FromSeconds(60));
        var (job, lease) = (NewJob(), NewLease());
        await worker.InsertAsync(job, [], NoLimit, Token);
        var claimed = (await worker.ClaimAsync(job.Id, lease, Now, Token)).Job!;
        Task<JobRecord?> apply;
        await using (await HoldJobsAsync(database))
        {
            apply = worker.ApplyAsync(job.Id, lease.Token, new JobOutcome(JobState.Succeeded), Now, Token).AsTask();
            await Wait.UntilAsync(() => WaitingAsync(database));
            proxy.CutNetwork();
            await EndWaitingAsync(database);
        }

        (await coordinator.RecoverAsync(Now.AddHours(1), new RecoveryPolicy { MaxAttempts = 3 }, 10, Token)).ShouldHaveSingleItem().State.ShouldBe(JobState.Queued);
        proxy.Heal();

        (await apply).ShouldBeNull("the row waits in the queue");
        (await worker.ReturnAsync(claimed, Now.AddMinutes(1), Token)).ShouldNotBeNull().Failures.ShouldBe(0);
        (await worker.ApplyAsync(job.Id, lease.Token, new JobOutcome(JobState.Succeeded), Now, Token)).ShouldNotBeNull().State.ShouldBe(JobState.Succeeded);
    }

    /// <summary>Nobody waits for ever; who was under way hears that it may have been stored, so that nobody deletes its blobs.</summary>
    [Fact]
    public async Task Writer_ThatBreaks_TellsWhatMayBeStoredFromWhatIsNot()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var time = new BreakableTime();
        await using var store = await database.OpenAsync(time);
        Task underWay, waiting;
        await using (await HoldJobsAsync(database))
        {
            underWay = store.InsertAsync(NewJob(), [], NoLimit, Token).AsTask();
            await Wait.UntilAsync(() => WaitingAsync(database));
            waiting = store.InsertAsync(NewJob(), [], NoLimit, Token).AsTask();
            time.IsBroken = true;
            await EndWaitingAsync(database);
            await Should.ThrowAsync<StorageUnavailableException>(underWay);
        }

        await Should.ThrowAsync<StorageClosedException>(waiting);
        await Should.ThrowAsync<StorageClosedException>(store.InsertAsync(NewJob(), [], NoLimit, Token).AsTask());
        (await Should.ThrowAsync<InvalidOperationException>(store.Writer.Ended)).Message.ShouldBe(BreakableTime.Fault);
        time.IsBroken = false;
    }

    /// <summary>The first try was cut off, the second is refused: whoever asked must not take it for certain that nothing was stored.</summary>
    [Fact]
    public async Task Write_RefusedAfterAnAnswerWasLost_MayHaveBeenStored()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var store = await database.OpenAsync(TimeProvider.System);
        await using var held = await HoldJobsAsync(database);
        var insert = store.InsertAsync(NewJob(), [], NoLimit, Token).AsTask();
        await Wait.UntilAsync(() => WaitingAsync(database));

        await EndWaitingAsync(database);

        (await Should.ThrowAsync<StorageUnavailableException>(insert)).Message.ShouldContain("lock timeout");
    }

    /// <summary>The call gave up before it heard; whoever tries again with the same token gets the answer.</summary>
    [Fact]
    public async Task Apply_AnswerLostAndGivenUp_IsKnownAtTheNextTry()
    {
        var server = await PostgresServer.SharedAsync();
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var proxy = new CuttableProxy(server.Port);
        await using var store = await OpenThroughAsync(proxy, database, more: "", patience: TimeSpan.Zero);
        var (job, lease) = (NewJob(), NewLease());
        await store.InsertAsync(job, [], NoLimit, Token);
        await store.ClaimAsync(job.Id, lease, Now, Token);
        var outcome = new JobOutcome(JobState.Succeeded);

        proxy.SwallowNextAnswers();
        await Should.ThrowAsync<StorageUnavailableException>(async () => await store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token));

        (await store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token)).ShouldNotBeNull().State.ShouldBe(JobState.Succeeded);
        (await store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token)).ShouldBeNull();
    }

    [Fact]
    public async Task Calls_NetworkFallsSilent_GoThroughANewConnection()
    {
        var server = await PostgresServer.SharedAsync();
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var proxy = new CuttableProxy(server.Port);
        await using var store = await OpenThroughAsync(proxy, database, more: ";Command Timeout=1;Cancellation Timeout=200");
        var job = NewJob();
        await store.InsertAsync(job, [], NoLimit, Token);
        await store.GetAsync(job.Id, Token);

        proxy.FallSilent();

        (await store.InsertAsync(NewJob(), [], NoLimit, Token)).Status.ShouldBe(InsertStatus.Inserted);
        (await store.GetAsync(job.Id, Token)).ShouldNotBeNull();
    }

    [Theory]
    [InlineData("Host=127.0.0.1;Port=1;Username=u;Password=swordfish;Database=d", "storage.connection")]
    [InlineData("Host=127.0.0.1;Password=swordfish;Nonsense=1", "Host=db")]
    [InlineData("swordfish", "Host=db")]
    public async Task Open_WrongConnection_SaysTheCureAndNoPassword(string connection, string cure)
    {
        var settings = new PostgresSettings(connection, 4, TimeSpan.FromSeconds(1), StartTimeout: TimeSpan.Zero);

        var refused = await Should.ThrowAsync<StorageException>(
            () => PostgresJobStore.OpenAsync(settings, TimeSpan.FromSeconds(10), TimeSpan.FromHours(1), PostgresDatabase.Context(TimeProvider.System), Token));

        refused.Message.ShouldContain(cure);
        refused.ToString().ShouldNotContain(PostgresServer.Password);
        settings.ToString().ShouldNotContain(PostgresServer.Password);
    }

    [Fact]
    public async Task Open_WrongPassword_FailsAtOnce()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var wrong = database.Connection.Replace(PostgresServer.Password, "sesame", StringComparison.Ordinal);
        var settings = new PostgresSettings(wrong, 4, TimeSpan.FromSeconds(1), StartTimeout: TimeSpan.FromHours(1));

        var refused = await Should.ThrowAsync<StorageException>(
            () => PostgresJobStore.OpenAsync(settings, TimeSpan.FromSeconds(10), TimeSpan.FromHours(1), PostgresDatabase.Context(TimeProvider.System), Token));

        refused.Message.ShouldContain("password authentication failed");
        refused.ToString().ShouldNotContain("sesame");
    }

    private static Task<PostgresJobStore> OpenThroughAsync(CuttableProxy proxy, PostgresDatabase database, string more, TimeSpan? patience = null)
    {
        var through = new NpgsqlConnectionStringBuilder(database.Connection) { Port = proxy.Port };
        var settings = new PostgresSettings(through.ConnectionString + more, 4, patience ?? TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(10));
        return PostgresJobStore.OpenAsync(settings, TimeSpan.FromSeconds(10), TimeSpan.FromHours(1), PostgresDatabase.Context(TimeProvider.System), Token);
    }

    /// <summary>Until it is disposed nobody writes to the table of jobs.</summary>
    private static async Task<NpgsqlConnection> HoldJobsAsync(PostgresDatabase database)
    {
        var connection = new NpgsqlConnection(database.Connection + ";Pooling=false");
        await connection.OpenAsync(Token);
        await using var command = new NpgsqlCommand("BEGIN; LOCK TABLE jobs IN EXCLUSIVE MODE", connection);
        await command.ExecuteNonQueryAsync(Token);
        return connection;
    }

    private static async Task<bool> WaitingAsync(PostgresDatabase database) =>
        await database.ReadAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0;

    private static Task EndWaitingAsync(PostgresDatabase database) =>
        database.ExecuteAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");

    private static JobLease NewLease() => new("w", Guid.NewGuid().ToString("n"), Now.AddMinutes(1));

    private static async Task<bool> TryAsync(Func<Task> call)
    {
        try
        {
            await call();
            return true;
        }
        catch (StorageUnavailableException)
        {
            return false;
        }
    }

    private JobRecord NewJob() => new() { Id = _ids.Next(), Tenant = "t", Model = "m", CreatedAt = Now };

    private async Task WorkAsync(PostgresJobStore store, ConcurrentDictionary<string, long> accepted, ConcurrentDictionary<string, string> ended, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var job = NewJob() with { Callback = new JobCallback("https://example.org/hook") };
            var inserted = await store.InsertAsync(job, [], NoLimit, CancellationToken.None);
            inserted.Status.ShouldBe(InsertStatus.Inserted);
            accepted.TryAdd(job.Id, inserted.Job!.Sequence).ShouldBeTrue();
            var lease = NewLease();
            (await store.ClaimAsync(job.Id, lease, Now, CancellationToken.None)).Status.ShouldBe(ClaimStatus.Claimed);
            (await store.HeartbeatAsync([(job.Id, lease.Token)], Now.AddMinutes(1), CancellationToken.None)).Lost.ShouldBeEmpty();
            (await store.ApplyAsync(job.Id, lease.Token, new JobOutcome(JobState.Succeeded), Now, CancellationToken.None)).ShouldNotBeNull();
            ended.TryAdd(job.Id, lease.Token).ShouldBeTrue();
        }
    }

    /// <summary>The machine's, until nothing can be waited for any more.</summary>
    private sealed class BreakableTime : TimeProvider
    {
        public const string Fault = "no timers any more";

        private volatile bool _isBroken;

        public bool IsBroken
        {
            get => _isBroken;
            set => _isBroken = value;
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            _isBroken ? throw new InvalidOperationException(Fault) : base.CreateTimer(callback, state, dueTime, period);
    }

    /// <summary>One that these tests may kill.</summary>
    public sealed class OwnServer : IAsyncDisposable
    {
        private PostgresServer? _server;

        public async Task<PostgresServer> GetAsync() => _server ??= await PostgresServer.StartAsync(Token);

        public async ValueTask DisposeAsync()
        {
            if (_server is not null)
            {
                await _server.DisposeAsync();
            }
        }
    }
}
