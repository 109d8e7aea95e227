using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>Who coordinates: by the database's clock, one at a time, and harmless where two believe it is them.</summary>
public sealed class CoordinatorLeaseTests
{
    private static readonly TimeSpan s_lease = TimeSpan.FromMilliseconds(600);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static RecoveryPolicy Policy { get; } = new() { MaxAttempts = 3 };

    [Fact]
    public async Task Hold_OfTheOnlyProcess_IsTakenOnceAndKept()
    {
        var lease = new SoleCoordinator();

        lease.IsAlone.ShouldBeTrue();
        (await lease.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        (await lease.HoldAsync(Token)).ShouldBe(CoordinatorHold.Kept);
    }

    [Fact]
    public async Task Hold_SeveralAtOnce_OneHasIt()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var stores = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => database.OpenAsync(TimeProvider.System)));

        var holds = await Task.WhenAll(stores.Select(s => s.Coordinator.HoldAsync(Token).AsTask()));

        holds.Count(h => h == CoordinatorHold.Taken).ShouldBe(1);
        holds.Count(h => h == CoordinatorHold.Elsewhere).ShouldBe(3);
        stores.ShouldAllBe(s => !s.Coordinator.IsAlone);
        var owner = stores[Array.IndexOf(holds, CoordinatorHold.Taken)];
        (await owner.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Kept);
        await owner.Coordinator.ReleaseAsync(Token);
        (await stores.First(s => s != owner).Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        await CloseAsync(stores);
    }

    /// <summary>The fence tells changes of owner, not renewals: a late owner whom nobody followed goes on.</summary>
    [Fact]
    public async Task Fence_LeaseRanOut_RisesOnlyForAnother()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var clock = new ManualTime();
        await using var owner = await database.OpenAsync(clock);
        await using var other = await database.OpenAsync(TimeProvider.System);
        await owner.Coordinator.HoldAsync(Token);

        await database.ExecuteAsync("UPDATE leases SET expires_at = now() - interval '1 second'");
        clock.Advance(TimeSpan.FromMinutes(1));
        (await owner.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Kept);
        owner.Coordinator.Fence.ShouldBe(1);
        (await other.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Elsewhere);

        await database.ExecuteAsync("UPDATE leases SET expires_at = now() - interval '1 second'");
        (await other.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        other.Coordinator.Fence.ShouldBe(2);
    }

    /// <summary>The owner is paused past its lease, another takes over, the owner wakes and works on as if nothing had been.</summary>
    [Fact]
    public async Task Upkeep_OfAPausedOwnerThatWasFollowed_ChangesNothing()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var clock = new ManualTime();
        await using var paused = await database.OpenAsync(clock, lease: s_lease);
        await using var follower = await database.OpenAsync(TimeProvider.System, lease: s_lease);
        (await paused.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        var now = TimeProvider.System.GetUtcNow();
        var running = await RunningAsync(follower, leaseUntil: now.AddSeconds(-1));
        var overdue = await InsertAsync(follower, j => j with { Deadline = now.AddSeconds(-1) });
        var ended = await InsertAsync(follower, j => j);
        await follower.CancelAsync(ended, now, Token);

        await Wait.UntilAsync(async () => await follower.Coordinator.HoldAsync(Token) == CoordinatorHold.Taken);

        // Its own clock stood still: it believes that the lease is its own.
        (await paused.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Kept);
        var later = now.AddHours(1);
        (await paused.RecoverAsync(later, Policy, 100, Token)).ShouldBeEmpty();
        (await paused.PurgeAsync(later, 100, Token)).ShouldBeEmpty();
        (await follower.RecoverAsync(later, Policy, 100, Token)).Select(j => j.Id).ShouldBe([running, overdue], ignoreOrder: true);
        (await follower.PurgeAsync(later, 100, Token)).ShouldHaveSingleItem().Id.ShouldBe(ended);
        (await paused.ForgetAsync(later, 100, Token)).ShouldBe(0);
        (await follower.ForgetAsync(later, 100, Token)).ShouldBe(1);
        clock.Advance(s_lease);
        (await paused.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Elsewhere);
    }

    [Theory]
    [InlineData(-3600)]
    [InlineData(3600)]
    public async Task Hold_ByAWrongClock_IsNoLongerOrShorter(int seconds)
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        await using var right = await database.OpenAsync(TimeProvider.System);
        await using var wrong = await database.OpenAsync(new ManualTime(TimeProvider.System.GetUtcNow().AddSeconds(seconds)));

        (await right.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        (await wrong.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Elsewhere);
        await right.Coordinator.ReleaseAsync(Token);
        (await wrong.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Taken);
        (await right.Coordinator.HoldAsync(Token)).ShouldBe(CoordinatorHold.Elsewhere);
    }

    [Theory]
    [InlineData(-60)]
    [InlineData(60)]
    public async Task Clock_OffByAMinute_ShowsTheDatabasesTime(int seconds)
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var machine = new SkewedTime(TimeSpan.FromSeconds(seconds));
        var context = PostgresDatabase.Context(machine);
        await using var store = await PostgresJobStore.OpenAsync(database.Settings(), s_lease, TimeSpan.FromHours(1), context, Token);

        context.Clock.Offset.TotalSeconds.ShouldBe(-seconds, tolerance: 5);
        context.Clock.GetUtcNow().ShouldBe(TimeProvider.System.GetUtcNow(), TimeSpan.FromSeconds(5));
        machine.Skew = TimeSpan.FromSeconds(-seconds);
        await Wait.UntilAsync(() => (context.Clock.GetUtcNow() - TimeProvider.System.GetUtcNow()).Duration() < TimeSpan.FromSeconds(5));
    }

    private static async Task<string> InsertAsync(PostgresJobStore store, Func<JobRecord, JobRecord> change)
    {
        var now = TimeProvider.System.GetUtcNow();
        var job = change(new JobRecord { Id = new JobIds(TimeProvider.System).Next(), Tenant = "t", Model = "m", CreatedAt = now });
        (await store.InsertAsync(job, [], 1000, Token)).Status.ShouldBe(InsertStatus.Inserted);
        return job.Id;
    }

    private static async Task<string> RunningAsync(PostgresJobStore store, DateTimeOffset leaseUntil)
    {
        var id = await InsertAsync(store, j => j);
        (await store.ClaimAsync(id, new JobLease("w", "token", leaseUntil), TimeProvider.System.GetUtcNow(), Token)).Status.ShouldBe(ClaimStatus.Claimed);
        return id;
    }

    private static async Task CloseAsync(IEnumerable<PostgresJobStore> stores)
    {
        foreach (var store in stores)
        {
            await store.DisposeAsync();
        }
    }

    /// <summary>A machine whose clock is wrong and whose timers are right.</summary>
    private sealed class SkewedTime(TimeSpan skew) : TimeProvider
    {
        public TimeSpan Skew { get; set; } = skew;

        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + Skew;
    }
}
