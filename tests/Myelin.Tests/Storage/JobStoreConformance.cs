using System.Text;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Work;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>What every job store keeps to. A class per implementation derives from it.</summary>
public abstract class JobStoreConformance : IAsyncLifetime
{
    private const int NoLimit = 1_000_000;

    /// <summary>What the stores under test are opened with.</summary>
    private protected static readonly TimeSpan Retention = TimeSpan.FromHours(1);

    private readonly JobIds _ids;
    private IJobStore? _store;

    protected JobStoreConformance() => _ids = new JobIds(Time);

    protected ManualTime Time { get; } = new();

    private protected IJobStore Store => _store!;

    private DateTimeOffset Now => Time.GetUtcNow();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static RecoveryPolicy Policy { get; } = new() { MaxAttempts = 3 };

    public async ValueTask InitializeAsync() => _store = await OpenAsync();

    public async ValueTask DisposeAsync()
    {
        await CloseAsync();
        GC.SuppressFinalize(this);
    }

    private protected abstract ValueTask<IJobStore> OpenAsync();

    private protected abstract ValueTask CloseAsync();

    private protected abstract IInstallationStore Installations { get; }

    /// <summary>Makes the database what it was before a migration, and opens it again.</summary>
    private protected abstract ValueTask<IJobStore> BeforeMigrationAsync(string sql, int number);

    /// <summary>Prepared statements that the store's connections keep.</summary>
    private protected abstract ValueTask<int> StatementsAsync();

    [Fact]
    public async Task List_TenThousandTimes_KeepsTheNumberOfStatements()
    {
        await InsertAsync(NewJob());
        JobFilter[] filters = [.. from tenant in new[] { null, "t" } from model in new[] { null, "m" } from state in new JobState?[] { null, JobState.Queued, JobState.Running } select new JobFilter(tenant, model, state)];
        async Task ListAsync(int times)
        {
            for (var i = 0; i < times; i++)
            {
                await Store.ListAsync(filters[i % filters.Length], i % 2 == 0 ? null : "zzz", 1, Token);
            }
        }

        await ListAsync(1000);
        await StatementsAsync(); // PostgreSQL keeps this question too
        var warm = await StatementsAsync();
        await ListAsync(10_000);

        (await StatementsAsync()).ShouldBeInRange(1, warm);
    }

    [Fact]
    public async Task Insert_EveryField_IsReadBack()
    {
        var job = NewJob() with
        {
            Priority = JobPriority.High,
            Key = "camera-7",
            Parameters = Encoding.UTF8.GetBytes("""{"threshold":0.5}"""),
            Inputs = [new JobArtifact("image", "image/png", 12, "abc")],
            Deadline = Now.AddMinutes(5),
            Callback = new JobCallback("https://example.org/hook", "secret"),
            IdempotencyKey = "once",
            BodyHash = "h",
            TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        };

        var inserted = await Store.InsertAsync(job, [], NoLimit, Token);
        var read = (await Store.GetAsync(job.Id, Token))!;

        inserted.Status.ShouldBe(InsertStatus.Inserted);
        Same(read, inserted.Job!);
        Same(read with { Sequence = 0 }, job);
    }

    [Fact]
    public async Task Insert_SmallInputs_AreKeptUntilPurged()
    {
        var job = NewJob();
        await Store.InsertAsync(job, [new SmallInput("image", new byte[] { 1, 2, 3 }), new SmallInput("empty", default)], NoLimit, Token);
        await Store.CancelAsync(job.Id, Now, Token);

        (await Store.ReadInputAsync(job.Id, "image", Token))!.Value.ToArray().ShouldBe([1, 2, 3]);
        (await Store.ReadInputAsync(job.Id, "empty", Token))!.Value.Length.ShouldBe(0);
        (await Store.ReadInputAsync(job.Id, "other", Token)).ShouldBeNull();
        await Store.PurgeAsync(Now + Retention, 100, Token);
        (await Store.ReadInputAsync(job.Id, "image", Token)).ShouldBeNull();
    }

    [Fact]
    public async Task Insert_SameIdempotencyKeyAndBody_GivesFirstJob()
    {
        var first = await InsertAsync(NewJob() with { IdempotencyKey = "k", BodyHash = "a" });
        var repeat = await Store.InsertAsync(NewJob() with { IdempotencyKey = "k", BodyHash = "a" }, [], NoLimit, Token);
        var other = await Store.InsertAsync(NewJob() with { IdempotencyKey = "k", BodyHash = "b" }, [], NoLimit, Token);
        var tenant = await Store.InsertAsync(NewJob() with { IdempotencyKey = "k", BodyHash = "b", Tenant = "other" }, [], NoLimit, Token);

        repeat.Status.ShouldBe(InsertStatus.Duplicate);
        repeat.Job!.Id.ShouldBe(first.Id);
        other.Status.ShouldBe(InsertStatus.Mismatch);
        tenant.Status.ShouldBe(InsertStatus.Inserted);
        Store.QueueDepth("m").ShouldBe(2);
        (await Store.KnowsAsync("t", "k", Token)).ShouldBeTrue();
        (await Store.KnowsAsync("t", "unknown", Token)).ShouldBeFalse();
    }

    [Fact]
    public async Task Insert_FullQueue_IsRefusedForThatModelOnly()
    {
        await InsertAsync(NewJob());
        await InsertAsync(NewJob());

        (await Store.InsertAsync(NewJob(), [], 2, Token)).Status.ShouldBe(InsertStatus.QueueFull);
        (await Store.InsertAsync(NewJob() with { Model = "other" }, [], 2, Token)).Status.ShouldBe(InsertStatus.Inserted);
        Store.QueueDepths().ShouldBe(new Dictionary<string, int> { ["m"] = 2, ["other"] = 1 }, ignoreOrder: true);
    }

    [Fact]
    public async Task Insert_ConcurrentPastLimit_NeverExceedsIt()
    {
        var results = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => Store.InsertAsync(NewJob(), [], 50, Token).AsTask()));

        results.Count(r => r.Status == InsertStatus.Inserted).ShouldBe(50);
        results.Count(r => r.Status == InsertStatus.QueueFull).ShouldBe(150);
        Store.QueueDepth("m").ShouldBe(50);
        results.Where(r => r.Job is not null).Select(r => r.Position).Order().ShouldBe(Enumerable.Range(0, 50));
    }

    [Fact]
    public async Task Claim_QueuedJob_RunsWithFreshLease()
    {
        var job = await InsertAsync(NewJob());
        var lease = NewLease();
        Time.Advance(TimeSpan.FromSeconds(3));

        var claim = await Store.ClaimAsync(job.Id, lease, Now, Token);

        claim.Status.ShouldBe(ClaimStatus.Claimed);
        Same(claim.Job!, (await Store.GetAsync(job.Id, Token))!);
        claim.Job!.State.ShouldBe(JobState.Running);
        claim.Job.Attempt.ShouldBe(1);
        claim.Job.StartedAt.ShouldBe(Now);
        claim.Job.LeaseToken.ShouldBe(lease.Token);
        claim.Job.EventId.ShouldBe(EventIds.Claimed(1));
        Store.QueueDepth("m").ShouldBe(0);
        (await Store.ClaimAsync(job.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Gone);
        (await Store.ClaimAsync(_ids.Next(), NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Gone);
    }

    [Fact]
    public async Task Claim_ManyAtOnce_ExactlyOneWins()
    {
        var job = await InsertAsync(NewJob());

        var claims = await Task.WhenAll(Enumerable.Range(0, 32).Select(_ => Store.ClaimAsync(job.Id, NewLease(), Now, Token).AsTask()));

        claims.Count(c => c.Status == ClaimStatus.Claimed).ShouldBe(1);
        claims.Count(c => c.Status == ClaimStatus.Gone).ShouldBe(31);
    }

    [Fact]
    public async Task Claim_EarlierJobOfKeyAlive_IsRefusedUntilItEnds()
    {
        var first = await InsertAsync(NewJob() with { Key = "k" });
        var second = await InsertAsync(NewJob() with { Key = "k", Priority = JobPriority.High });
        var foreign = await InsertAsync(NewJob() with { Key = "k", Tenant = "other" });

        (await Store.ClaimAsync(second.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.KeyBusy);
        (await Store.ClaimAsync(foreign.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
        var lease = NewLease();
        (await Store.ClaimAsync(first.Id, lease, Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
        (await Store.ClaimAsync(second.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.KeyBusy);

        // Back in the queue with a back-off, the first still goes before the second.
        await Store.ApplyAsync(first.Id, lease.Token, Retry(Now.AddSeconds(5)), Now, Token);
        (await Store.ClaimAsync(second.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.KeyBusy);
        await Store.CancelAsync(first.Id, Now, Token);
        (await Store.ClaimAsync(second.Id, NewLease(), Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
    }

    [Fact]
    public async Task Claim_BeforeBackOff_IsNotYet()
    {
        var (job, lease) = await RunningAsync();
        await Store.ApplyAsync(job.Id, lease.Token, Retry(Now.AddSeconds(5)), Now, Token);

        var early = await Store.ClaimAsync(job.Id, NewLease(), Now.AddSeconds(4), Token);
        var late = await Store.ClaimAsync(job.Id, NewLease(), Now.AddSeconds(5), Token);

        early.Status.ShouldBe(ClaimStatus.NotYet);
        early.Job!.NotBefore.ShouldBe(Now.AddSeconds(5));
        late.Status.ShouldBe(ClaimStatus.Claimed);
        late.Job!.Attempt.ShouldBe(2);
        late.Job.NotBefore.ShouldBeNull();
    }

    [Fact]
    public async Task Claim_PastDeadline_IsGone()
    {
        var job = await InsertAsync(NewJob() with { Deadline = Now.AddSeconds(5) });

        (await Store.ClaimAsync(job.Id, NewLease(), Now.AddSeconds(5), Token)).Status.ShouldBe(ClaimStatus.Gone);
    }

    [Fact]
    public async Task Apply_Success_StoresResultOnce()
    {
        var (job, lease) = await RunningAsync();
        var outcome = new JobOutcome(JobState.Succeeded)
        {
            Result = Encoding.UTF8.GetBytes("""{"ok":true}"""),
            Artifacts = [new JobArtifact("annotated.jpg", "image/jpeg", 3, "x")],
        };

        var applied = await Store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token);
        var again = await Store.ApplyAsync(job.Id, lease.Token, outcome, Now, Token);

        Same(applied!, (await Store.GetAsync(job.Id, Token))!);
        applied!.State.ShouldBe(JobState.Succeeded);
        applied.EndedAt.ShouldBe(Now);
        Encoding.UTF8.GetString(applied.Result!.Value.Span).ShouldBe("""{"ok":true}""");
        applied.EventId.ShouldBe(EventIds.Ended(1));
        again.ShouldBeNull();
    }

    [Fact]
    public async Task Apply_StaleToken_ChangesNothing()
    {
        var (job, stale) = await RunningAsync();
        Time.Advance(TimeSpan.FromMinutes(1));
        await Store.RecoverAsync(Now, Policy, 100, Token);
        var lease = NewLease();
        await Store.ClaimAsync(job.Id, lease, Now, Token);

        (await Store.ApplyAsync(job.Id, stale.Token, Success(), Now, Token)).ShouldBeNull();
        (await Store.ProgressAsync(job.Id, stale.Token, new JobProgress(1, 2, 0.5), EventIds.Progress(1, 1), Token)).ShouldBeFalse();
        (await Store.HeartbeatAsync([(job.Id, stale.Token)], Now.AddMinutes(1), Token)).Lost.ShouldBe([job.Id]);
        (await Store.ApplyAsync(job.Id, lease.Token, Success(), Now, Token))!.State.ShouldBe(JobState.Succeeded);
    }

    [Fact]
    public async Task Progress_RunningAttempt_GrowsOnly()
    {
        var (job, lease) = await RunningAsync();

        (await Store.ProgressAsync(job.Id, lease.Token, new JobProgress(2, 4, 0.5), EventIds.Progress(1, 2), Token)).ShouldBeTrue();
        (await Store.ProgressAsync(job.Id, lease.Token, new JobProgress(1, 4, 0.25), EventIds.Progress(1, 1), Token)).ShouldBeFalse();

        var read = (await Store.GetAsync(job.Id, Token))!;
        read.Progress.ShouldBe(new JobProgress(2, 4, 0.5));
        read.EventId.ShouldBe(EventIds.Progress(1, 2));
    }

    [Fact]
    public async Task Heartbeat_ExtendsLease_AndTellsCancelRequests()
    {
        var (kept, keptLease) = await RunningAsync();
        var (cancelled, cancelledLease) = await RunningAsync();
        await Store.CancelAsync(cancelled.Id, Now, Token);

        var beat = await Store.HeartbeatAsync(
            [(kept.Id, keptLease.Token), (cancelled.Id, cancelledLease.Token), (_ids.Next(), "x")], Now.AddMinutes(9), Token);

        beat.CancelRequested.ShouldBe([cancelled.Id]);
        beat.Lost.Length.ShouldBe(1);
        (await Store.RecoverAsync(Now.AddMinutes(8), Policy, 100, Token)).ShouldBeEmpty();
    }

    [Fact]
    public async Task Cancel_EachState_AnswersItsName()
    {
        var queued = await InsertAsync(NewJob());
        var (running, lease) = await RunningAsync();

        var atOnce = await Store.CancelAsync(queued.Id, Now, Token);
        var requested = await Store.CancelAsync(running.Id, Now, Token);

        atOnce.Status.ShouldBe(CancelStatus.Cancelled);
        atOnce.Job!.State.ShouldBe(JobState.Cancelled);
        atOnce.Job.EventId.ShouldBeGreaterThan(EventIds.Queued);
        atOnce.Job.ExpiresAt.ShouldBe(Now.AddHours(1));
        Store.QueueDepth("m").ShouldBe(0);
        requested.Status.ShouldBe(CancelStatus.Requested);
        requested.Job!.State.ShouldBe(JobState.Running);
        (await Store.ApplyAsync(running.Id, lease.Token, Success(), Now, Token))!.State.ShouldBe(JobState.Cancelled);
        (await Store.CancelAsync(running.Id, Now, Token)).Status.ShouldBe(CancelStatus.AlreadyEnded);
        (await Store.CancelAsync(_ids.Next(), Now, Token)).Status.ShouldBe(CancelStatus.NotFound);
    }

    [Fact]
    public async Task Cancel_RequestedWhileAttemptRetries_EndsCancelled()
    {
        var (job, lease) = await RunningAsync();
        await Store.CancelAsync(job.Id, Now, Token);

        var applied = await Store.ApplyAsync(job.Id, lease.Token, Retry(Now.AddSeconds(1)), Now, Token);

        applied!.State.ShouldBe(JobState.Cancelled);
        applied.NotBefore.ShouldBeNull();
        Store.QueueDepth("m").ShouldBe(0);
    }

    [Fact]
    public async Task Recover_LostLease_RequeuesUntilAttemptsAreUsedUp()
    {
        var job = await InsertAsync(NewJob());
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            var claim = await Store.ClaimAsync(job.Id, NewLease(), Now, Token);
            claim.Job!.Attempt.ShouldBe(attempt);
            (await Store.RecoverAsync(Now, Policy, 100, Token)).ShouldBeEmpty();
            Time.Advance(TimeSpan.FromMinutes(1));
            var recovered = (await Store.RecoverAsync(Now, Policy, 100, Token)).ShouldHaveSingleItem();
            recovered.State.ShouldBe(attempt < 3 ? JobState.Queued : JobState.Failed);
            recovered.EventId.ShouldBeGreaterThan(claim.Job.EventId);
        }

        var failed = (await Store.GetAsync(job.Id, Token))!;
        failed.Error!.Type.ShouldBe(ProblemTypes.AttemptsExhausted);
        failed.ExpiresAt.ShouldBe(Now + Retention);
        Store.QueueDepth("m").ShouldBe(0);
    }

    [Fact]
    public async Task Recover_LeaseThatChangedSinceItWasRead_IsLeftAlone()
    {
        var (job, lease) = await RunningAsync();
        var held = await Store.LeasesAsync(10, Token);
        held.ShouldBe([new HeldLease(job.Id, lease.Token, lease.Until, TimeSpan.FromSeconds(15))]);

        // A beat by a clock that was set back.
        await Store.HeartbeatAsync([(job.Id, lease.Token)], Now.AddHours(-1), Token);

        (await Store.RecoverAsync(held, Now, Policy, 100, Token)).ShouldBeEmpty();
        (await Store.RecoverAsync(await Store.LeasesAsync(10, Token), Now, Policy, 100, Token)).ShouldHaveSingleItem().Failures.ShouldBe(1);
    }

    [Fact]
    public async Task Return_NobodyTookTheJob_GoesOnInItsAttemptUncharged()
    {
        var (job, lease) = await RunningAsync();
        var claimed = (await Store.GetAsync(job.Id, Token))!;
        await Store.ProgressAsync(job.Id, lease.Token, new JobProgress(1, 9, 0.1), EventIds.Progress(1, 7), Token);
        for (var lapse = 0; lapse < 5; lapse++)
        {
            Time.Advance(TimeSpan.FromMinutes(1));
            var lapsed = (await Store.RecoverAsync(Now, Policy, 100, Token)).ShouldHaveSingleItem();
            (lapsed.State, lapsed.Failures).ShouldBe((JobState.Queued, 1));
            Store.QueueDepth("m").ShouldBe(1);
            (await Store.HeartbeatAsync([(job.Id, lease.Token)], Now.AddSeconds(15), Token)).Lost.ShouldBe([job.Id]);

            var back = (await Store.ReturnAsync(claimed, Now.AddSeconds(15), Token)).ShouldNotBeNull();
            var again = (await Store.ReturnAsync(claimed, Now.AddSeconds(15), Token)).ShouldNotBeNull();

            Same(back, (await Store.GetAsync(job.Id, Token))!);
            again.EventId.ShouldBe(back.EventId);
            (back.State, back.Attempt, back.Failures, back.LeaseToken, back.Worker, back.StartedAt).ShouldBe((JobState.Running, 1, 0, lease.Token, claimed.Worker, claimed.StartedAt));
            back.EventId.ShouldBeGreaterThan(lapsed.EventId);
            lapsed.EventId.ShouldBeGreaterThan(claimed.EventId);
            claimed = back;
            Store.QueueDepth("m").ShouldBe(0);
        }

        (await Store.ApplyAsync(job.Id, lease.Token, Success(), Now, Token))!.EventId.ShouldBe(EventIds.Ended(1));
    }

    [Fact]
    public async Task Return_SomebodyTookTheJob_IsRefusedAndNoLongerCharged()
    {
        var (job, lease) = await RunningAsync();
        var claimed = (await Store.GetAsync(job.Id, Token))!;
        Time.Advance(TimeSpan.FromMinutes(1));
        await Store.RecoverAsync(Now, Policy, 100, Token);
        var other = NewLease();
        (await Store.ClaimAsync(job.Id, other, Now, Token)).Job!.Failures.ShouldBe(1);

        (await Store.ReturnAsync(claimed, Now.AddSeconds(15), Token)).ShouldBeNull();
        (await Store.ReturnAsync(claimed, Now.AddSeconds(15), Token)).ShouldBeNull();

        var now = (await Store.GetAsync(job.Id, Token))!;
        (now.State, now.Attempt, now.Failures, now.LeaseToken).ShouldBe((JobState.Running, 2, 0, other.Token));
        (await Store.ApplyAsync(job.Id, other.Token, Success(), Now, Token))!.Failures.ShouldBe(0);
        (await Store.ReturnAsync(claimed, Now.AddSeconds(15), Token)).ShouldBeNull();
    }

    [Fact]
    public async Task Return_AfterTheAttemptGaveTheJobBack_ChangesNothing()
    {
        var (job, lease) = await RunningAsync();
        var claimed = (await Store.GetAsync(job.Id, Token))!;
        await Store.ApplyAsync(job.Id, lease.Token, Retry(Now), Now, Token);

        (await Store.ReturnAsync(claimed, Now.AddSeconds(15), Token)).ShouldBeNull();

        (await Store.GetAsync(job.Id, Token))!.State.ShouldBe(JobState.Queued);
    }

    [Fact]
    public async Task Recover_AllLeases_TakesRunningOnesAtOnce()
    {
        await RunningAsync();

        (await Store.RecoverAsync(Now, Policy with { AllLeases = true }, 100, Token)).ShouldHaveSingleItem().State.ShouldBe(JobState.Queued);
        Store.QueueDepth("m").ShouldBe(1);
    }

    [Fact]
    public async Task Recover_PastDeadline_ExpiresOnlyWhatNeverStarted()
    {
        var late = await InsertAsync(NewJob() with { Deadline = Now.AddSeconds(5) });
        var retried = await InsertAsync(NewJob() with { Deadline = Now.AddSeconds(5) });
        var lease = NewLease();
        await Store.ClaimAsync(retried.Id, lease, Now, Token);
        await Store.ApplyAsync(retried.Id, lease.Token, Retry(Now), Now, Token);

        (await Store.RecoverAsync(Now.AddSeconds(4), Policy, 100, Token)).ShouldBeEmpty();
        var expired = (await Store.RecoverAsync(Now.AddSeconds(5), Policy, 100, Token)).ShouldHaveSingleItem();

        expired.Id.ShouldBe(late.Id);
        expired.State.ShouldBe(JobState.Expired);
        Store.QueueDepth("m").ShouldBe(1);
    }

    [Fact]
    public async Task Purge_PastRetention_DropsResultThenForgets()
    {
        var (job, lease) = await RunningAsync();
        await Store.ApplyAsync(job.Id, lease.Token, Success() with { Result = new byte[] { 1 } }, Now, Token);
        var expiry = Now.AddHours(1);

        (await Store.PurgeAsync(expiry.AddSeconds(-1), 100, Token)).ShouldBeEmpty();
        (await Store.PurgeAsync(expiry, 100, Token)).ShouldBe([new PurgedJob(job.Id, HasBlobs: false)]);
        (await Store.PurgeAsync(expiry, 100, Token)).ShouldBeEmpty();
        var purged = (await Store.GetAsync(job.Id, Token))!;
        purged.Purged.ShouldBeTrue();
        purged.Result.ShouldBeNull();
        purged.State.ShouldBe(JobState.Succeeded);
        (await Store.ForgetAsync(expiry.AddSeconds(-1), 100, Token)).ShouldBe(0);
        (await Store.ForgetAsync(expiry, 100, Token)).ShouldBe(1);
        (await Store.GetAsync(job.Id, Token)).ShouldBeNull();
    }

    /// <summary>However it ended, also where a cancel overrules what the attempt came to: nothing is kept for ever.</summary>
    [Theory]
    [InlineData(JobState.Queued)]
    [InlineData(JobState.Failed)]
    [InlineData(JobState.Succeeded)]
    public async Task Apply_AfterACancel_IsKeptForTheRetentionAndThenPurged(JobState outcome)
    {
        var (job, lease) = await RunningAsync();
        await Store.CancelAsync(job.Id, Now, Token);
        Time.Advance(TimeSpan.FromSeconds(5));

        var ended = (await Store.ApplyAsync(job.Id, lease.Token, new JobOutcome(outcome), Now, Token))!;

        (ended.State, ended.EndedAt, ended.ExpiresAt).ShouldBe((JobState.Cancelled, Now, Now + Retention));
        (await Store.GetAsync(job.Id, Token))!.ExpiresAt.ShouldBe(Now + Retention);
        (await Store.PurgeAsync(Now + Retention, 100, Token)).ShouldBe([new PurgedJob(job.Id, HasBlobs: true)]);
    }

    /// <summary>Where nothing can be in the store of blobs, nothing needs to be asked there.</summary>
    [Theory]
    [InlineData(0, 0, true, 1, false)] // all its inputs are small
    [InlineData(1, 0, true, 1, true)]
    [InlineData(0, 1, true, 1, true)]
    [InlineData(0, 0, true, 2, true)] // what the first attempt stored, no row says
    [InlineData(0, 0, false, 1, true)]
    public async Task Purge_TellsWhoMayHaveBlobs(int largeInputs, int results, bool succeeds, int attempts, bool expected)
    {
        var names = Enumerable.Range(0, 2 + largeInputs).Select(i => $"input{i}").ToList();
        var job = NewJob() with { Inputs = [.. names.Select(n => new JobArtifact(n, "t/t", 1, "h"))] };
        (await Store.InsertAsync(job, [.. names[..2].Select(n => new SmallInput(n, new byte[] { 1 }))], NoLimit, Token)).Status.ShouldBe(InsertStatus.Inserted);
        for (var attempt = 1; attempt <= attempts; attempt++)
        {
            var lease = NewLease();
            (await Store.ClaimAsync(job.Id, lease, Now, Token)).Status.ShouldBe(ClaimStatus.Claimed);
            var last = new JobOutcome(succeeds ? JobState.Succeeded : JobState.Failed)
            {
                Artifacts = [.. Enumerable.Range(0, results).Select(i => new JobArtifact($"result{i}", "t/t", 1, "h"))],
            };
            await Store.ApplyAsync(job.Id, lease.Token, attempt == attempts ? last : Retry(Now), Now, Token);
        }

        var before = await Store.FindPurgedAsync([job.Id, "01unknown"], Token);
        var purged = await Store.PurgeAsync(Now + Retention, 100, Token);

        before.ShouldBe(new Dictionary<string, bool> { [job.Id] = false });
        purged.ShouldBe([new PurgedJob(job.Id, expected)]);
        (await Store.FindPurgedAsync([job.Id, "01unknown"], Token)).ShouldBe(new Dictionary<string, bool> { [job.Id] = true });
    }

    /// <summary>Rows that an older version ended without an end of retention.</summary>
    [Fact]
    public async Task Open_EndedJobWithoutExpiry_IsRepaired()
    {
        var (job, lease) = await RunningAsync();
        var alive = await InsertAsync(NewJob());
        await Store.ApplyAsync(job.Id, lease.Token, Success(), Now, Token);

        await TakeBackMigrationAsync("UPDATE jobs SET expires_at = NULL", 3);

        (await Store.GetAsync(job.Id, Token))!.ExpiresAt.ShouldBe(Now.AddDays(1));
        (await Store.GetAsync(alive.Id, Token))!.ExpiresAt.ShouldBeNull();
    }

    /// <summary>Told apart by the tables that a database has already when it gets its id.</summary>
    [Fact]
    public async Task Open_MadeByAnOlderVersion_KeepsItsBlobsAtTheRoot()
    {
        var made = await Installations.ReadAsync(Token);

        await TakeBackMigrationAsync("DROP TABLE installation", 4);
        var old = await Installations.ReadAsync(Token);

        (made.BlobPrefix, old.BlobPrefix).ShouldBe(("myelin/", ""));
        made.Id.Length.ShouldBe(32);
        old.Id.ShouldNotBe(made.Id);
    }

    [Fact]
    public async Task Installation_Advanced_RemembersTheTwoNewestGenerations()
    {
        var id = (await Installations.ReadAsync(Token)).Id;
        (await Installations.AdvanceAsync("first", Token)).ShouldBeTrue();
        (await Installations.AdvanceAsync("second", Token)).ShouldBeTrue();
        (await Installations.AdvanceAsync("second", Token)).ShouldBeTrue("again is the same");

        var read = await Installations.ReadAsync(Token);

        (read.Id, read.Generation, read.Previous).ShouldBe((id, "second", "first"));
    }

    [Fact]
    public async Task Insert_QueueFilledByOneTenant_LetsOthersInUpToTheirShare()
    {
        const int limit = 40;
        for (var i = 0; i < limit; i++)
        {
            (await AddAsync("t")).ShouldBe(InsertStatus.Inserted);
        }

        (await AddAsync("t")).ShouldBe(InsertStatus.QueueFull, "alone it has the whole limit, and no more");
        for (var i = 0; i < QueueShare.Of(limit); i++)
        {
            (await AddAsync("u")).ShouldBe(InsertStatus.Inserted);
        }

        (await AddAsync("u")).ShouldBe(InsertStatus.QueueFull);
        (await AddAsync("v")).ShouldBe(InsertStatus.Inserted);
        (await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => AddAsync("w")))).Count(s => s == InsertStatus.Inserted).ShouldBe(QueueShare.Of(limit));
        (await Store.CountQueuedAsync("t", "m", 1000, Token)).ShouldBe(limit);
        (await Store.CountQueuedAsync("t", "m", 5, Token)).ShouldBe(5);
        (await Store.CountQueuedAsync("nobody", "m", 5, Token)).ShouldBe(0);

        async Task<InsertStatus> AddAsync(string tenant) => (await Store.InsertAsync(NewJob() with { Tenant = tenant }, [], limit, Token)).Status;
    }

    [Fact]
    public async Task Webhooks_DueForOneReceiver_LeaveTurnsToTheOthers()
    {
        var hooks = (IWebhookStore)Store;
        string[] urls =
        [
            .. Enumerable.Range(0, 30).Select(i => $"https://Busy.example:8443/{i}"), "http://alpha.example", "http://alpha.example:81/x?y", "bus:jobs.out", "https://zulu.example?q",
        ];
        await OweAsync(urls);

        var (first, last) = await hooks.TakeDueAsync(Now, Now.AddMinutes(1), new WebhookTurn("", 10, 4, new Dictionary<string, int>()), Token);
        var second = (await hooks.TakeDueAsync(Now, Now.AddMinutes(1), new WebhookTurn("busy.example:8443", 10, 4, new Dictionary<string, int> { ["busy.example:8443"] = 1 }), Token)).Due;
        var third = (await hooks.TakeDueAsync(Now, Now.AddMinutes(1), new WebhookTurn("zulu.example", 100, 100, new Dictionary<string, int>()), Token)).Due;

        first.Select(d => d.Receiver).Order(StringComparer.Ordinal).ShouldBe(
            ["-", "alpha.example", "alpha.example:81", "busy.example:8443", "busy.example:8443", "busy.example:8443", "busy.example:8443", "zulu.example"]);
        last.ShouldBe("zulu.example");
        second.ShouldHaveSingleItem().Receiver.ShouldBe("busy.example:8443");
        third.Length.ShouldBe(25);
        first.Concat(second).Concat(third).Select(d => d.Callback.Url).Order().ShouldBe(urls.Order());
        first.Concat(second).Concat(third).ShouldAllBe(d => d.Attempt == 1);
    }

    /// <summary>One due delivery is found wherever the turn begins, however many wait for their retry; and a turn that finds no room moves on.</summary>
    [Fact]
    public async Task Webhooks_DueAmongThousandsThatWaitForTheirRetry_HaveTheirTurn()
    {
        var hooks = (IWebhookStore)Store;
        await OweAsync(Enumerable.Range(0, 1500).Select(i => $"https://w{i:0000}.example"));
        (await hooks.TakeDueAsync(Now, Now.AddHours(1), WebhookTurn.Of(2000), Token)).Due.Length.ShouldBe(1500);
        await OweAsync(["https://w1400.example:81"]);

        foreach (var after in new[] { "", "w0700.example", "w1400.example:81", "w1450.example" })
        {
            var (due, _) = await hooks.TakeDueAsync(Now, heldUntil: Now, new WebhookTurn(after, 100, 8, new Dictionary<string, int>()), Token);
            due.ShouldHaveSingleItem().Receiver.ShouldBe("w1400.example:81", $"behind '{after}'");
        }

        var (none, last) = await hooks.TakeDueAsync(Now, Now, new WebhookTurn("", 100, 8, new Dictionary<string, int> { ["w1400.example:81"] = 0 }), Token);
        none.ShouldBeEmpty();
        last.ShouldBe("w1499.example");
    }

    /// <summary>As many as there is room for: the next turn begins behind the last one served.</summary>
    [Fact]
    public async Task Webhooks_MoreDueThanPlaces_AreServedInTurn()
    {
        var hooks = (IWebhookStore)Store;
        await OweAsync(Enumerable.Range(0, 12).Select(i => $"https://w{i % 6}.example/{i}"));
        var served = new List<string>();
        var last = "";
        for (var turn = 0; turn < 4; turn++)
        {
            (var due, last) = await hooks.TakeDueAsync(Now, Now.AddHours(1), new WebhookTurn(last, 3, 2, new Dictionary<string, int>()), Token);
            due.Length.ShouldBe(3);
            served.Add(string.Join(' ', due.Select(d => d.Receiver[..2]).Order(StringComparer.Ordinal)));
        }

        served.ShouldBe(["w0 w0 w1", "w2 w2 w3", "w4 w4 w5", "w1 w3 w5"]);
    }

    /// <summary>Jobs that have ended and are told of nowhere yet.</summary>
    private Task OweAsync(IEnumerable<string> urls) => Task.WhenAll(urls.Select(async url =>
    {
        var job = NewJob() with { Callback = new JobCallback(url, "0123456789abcdef") };
        (await Store.InsertAsync(job, [], NoLimit, Token)).Status.ShouldBe(InsertStatus.Inserted);
        await Store.CancelAsync(job.Id, Now, Token);
    }));

    [Fact]
    public async Task List_Pages_ShowEveryJobOnceNewestFirst()
    {
        var ids = new List<string>();
        for (var i = 0; i < 25; i++)
        {
            ids.Add((await InsertAsync(NewJob() with { Model = i % 2 == 0 ? "even" : "odd" })).Id);
        }

        var listed = new List<string>();
        string? before = null;
        while (await Store.ListAsync(new JobFilter("t"), before, 10, Token) is { Length: > 0 } page)
        {
            listed.AddRange(page.Select(j => j.Id));
            before = page[^1].Id;
        }

        ids.Reverse();
        listed.ShouldBe(ids);
        (await Store.ListAsync(new JobFilter("t", "odd"), null, 100, Token)).Length.ShouldBe(12);
        (await Store.ListAsync(new JobFilter("t", State: JobState.Running), null, 100, Token)).ShouldBeEmpty();
        (await Store.ListAsync(new JobFilter("nobody"), null, 100, Token)).ShouldBeEmpty();
    }

    [Fact]
    public async Task Queued_Pages_HoldEveryQueuedJobInOrder()
    {
        for (var i = 0; i < 30; i++)
        {
            await InsertAsync(NewJob() with { Model = i % 2 == 0 ? "a" : "b", Priority = (JobPriority)(i % 3) });
        }

        var (claimed, _) = await RunningAsync();
        var hints = new List<JobHint>();
        while (await Store.QueuedAsync(hints.LastOrDefault(), 7, Token) is { Length: > 0 } page)
        {
            hints.AddRange(page);
        }

        hints.Count.ShouldBe(30);
        hints.ShouldNotContain(h => h.Id == claimed.Id);
        hints.ShouldBe(hints.OrderBy(h => h.Model, StringComparer.Ordinal).ThenBy(h => h.Priority).ThenBy(h => h.Sequence));
    }

    [Fact]
    public async Task Position_CountsBetterClassesAndEarlierJobs()
    {
        var first = await InsertAsync(NewJob());
        var second = await InsertAsync(NewJob());
        await InsertAsync(NewJob() with { Priority = JobPriority.High });
        await InsertAsync(NewJob() with { Priority = JobPriority.Low });
        await InsertAsync(NewJob() with { Model = "other" });

        var positions = await Store.PositionsAsync([first, second], Token);
        positions[first.Id].ShouldBe(1);
        positions[second.Id].ShouldBe(2);
    }

    [Fact]
    public async Task Position_InALongLine_IsExactAtBothEndsAndBetweenThemInOrder()
    {
        var line = await Task.WhenAll(Enumerable.Range(0, 3000).Select(_ => InsertAsync(NewJob())));
        line = [.. line.OrderBy(j => j.Sequence)];
        var other = await InsertAsync(NewJob() with { Priority = JobPriority.High });

        var positions = await Store.PositionsAsync([.. line.Append(other)], Token);
        var ends = await Store.PositionsAsync([line[7], line[2500]], Token);

        positions[other.Id].ShouldBe(0);
        var places = line.Select(j => positions[j.Id] - 1).ToList();
        places[..250].ShouldBe(Enumerable.Range(0, 250));
        places[^250..].ShouldBe(Enumerable.Range(2750, 250));
        places.ShouldBe(places.Order());
        Enumerable.Range(0, 3000).ShouldAllBe(i => Math.Abs(places[i] - i) < 20);
        ends[line[7].Id].ShouldBe(8);
        ends[line[2500].Id].ShouldBe(2501);
    }

    [Fact]
    public async Task List_EachFilter_ShowsWhatItNamesWithoutParametersAndResults()
    {
        var random = new Random(5);
        var all = new List<JobRecord>();
        for (var i = 0; i < 120; i++)
        {
            var job = await InsertAsync(NewJob() with { Tenant = i % 3 == 0 ? "t" : "u", Model = i % 2 == 0 ? "even" : "odd" });
            if (random.Next(3) > 0)
            {
                var lease = NewLease();
                await Store.ClaimAsync(job.Id, lease, Now, Token);
                if (random.Next(3) > 0)
                {
                    var end = random.Next(2) == 0 ? Success() with { Result = new byte[] { 1 } } : Success() with { State = JobState.Failed };
                    await Store.ApplyAsync(job.Id, lease.Token, end, Now, Token);
                }
            }

            all.Add((await Store.GetAsync(job.Id, Token))!);
        }

        foreach (var tenant in (string[])["t", "u"])
        {
            foreach (var model in (string?[])[null, "even", "odd", "none"])
            {
                foreach (var state in (JobState?[])[null, .. Enum.GetValues<JobState>()])
                {
                    var expected = all.Where(j => j.Tenant == tenant && (model is null || j.Model == model) && (state is null || j.State == state))
                        .OrderByDescending(j => j.Id, StringComparer.Ordinal).Select(j => j.Id).ToList();
                    var listed = new List<JobRecord>();
                    while (await Store.ListAsync(new JobFilter(tenant, model, state), listed.LastOrDefault()?.Id, 7, Token) is { Length: > 0 } page)
                    {
                        listed.AddRange(page);
                    }

                    listed.Select(j => j.Id).ShouldBe(expected);
                    listed.ShouldAllBe(j => j.Parameters.IsEmpty && j.Result == null);
                }
            }
        }
    }

    private async Task TakeBackMigrationAsync(string sql, int number) => _store = await BeforeMigrationAsync(sql, number);

    private protected static JobOutcome Success() => new(JobState.Succeeded);

    private protected static JobOutcome Retry(DateTimeOffset at) => new(JobState.Queued) { RetryAt = at, CountsAsFailure = true };

    private protected JobRecord NewJob() => new() { Id = _ids.Next(), Tenant = "t", Model = "m", CreatedAt = Now, Parameters = "{}"u8.ToArray() };

    private protected JobLease NewLease() => new("w", Guid.NewGuid().ToString("n"), Now.AddSeconds(15));

    private protected async Task<JobRecord> InsertAsync(JobRecord job)
    {
        var inserted = await Store.InsertAsync(job, [], NoLimit, Token);
        inserted.Status.ShouldBe(InsertStatus.Inserted);
        return inserted.Job!;
    }

    private protected async Task<(JobRecord Job, JobLease Lease)> RunningAsync()
    {
        var job = await InsertAsync(NewJob());
        var lease = NewLease();
        var claim = await Store.ClaimAsync(job.Id, lease, Now, Token);
        claim.Status.ShouldBe(ClaimStatus.Claimed);
        return (claim.Job!, lease);
    }

    /// <summary>Records hold memory and arrays, which compare by reference: bring those to text first.</summary>
    private static void Same(JobRecord actual, JobRecord expected)
    {
        Text(actual).ShouldBe(Text(expected));
        (actual with { Parameters = default, Inputs = [], Result = null, Artifacts = [] })
            .ShouldBe(expected with { Parameters = default, Inputs = [], Result = null, Artifacts = [] });

        static string Text(JobRecord job) =>
            $"{Encoding.UTF8.GetString(job.Parameters.Span)} {string.Join(';', job.Inputs)} {(job.Result is { } r ? Encoding.UTF8.GetString(r.Span) : "")} {string.Join(';', job.Artifacts)}";
    }
}
