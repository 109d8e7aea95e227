using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Jobs.Dispatch;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs.Dispatch;

public sealed class JobQueueTests
{
    private readonly ManualTime _time = new();
    private readonly JobQueue _queue;
    private long _sequence;

    public JobQueueTests() => _queue = new JobQueue(new PriorityWeights(8, 3, 1), _time);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Take_MixedClasses_SharesStartsByWeight()
    {
        Offer(1200, JobPriority.High);
        Offer(1200, JobPriority.Normal);
        Offer(1200, JobPriority.Low);

        var taken = await TakeAsync(120);

        taken.Count(h => h.Priority == JobPriority.High).ShouldBe(80);
        taken.Count(h => h.Priority == JobPriority.Normal).ShouldBe(30);
        taken.Count(h => h.Priority == JobPriority.Low).ShouldBe(10);
        taken.Take(24).ShouldContain(h => h.Priority == JobPriority.Low);
    }

    [Fact]
    public async Task Take_EndlessHighs_LowStillStarts()
    {
        var low = Offer(1, JobPriority.Low)[0];
        var waited = 0;
        while (true)
        {
            Offer(1, JobPriority.High);
            var hint = await _queue.TakeAsync(Token);
            _queue.Claimed(hint);
            if (hint.Id == low.Id)
            {
                break;
            }

            waited++;
        }

        waited.ShouldBeLessThanOrEqualTo(9);
    }

    [Fact]
    public async Task Take_LoudTenant_OthersTakeTurns()
    {
        Offer(1000, tenant: "loud");
        Offer(3, tenant: "quiet");
        Offer(3, tenant: "shy");

        var taken = await TakeAsync(9);

        taken.Select(h => h.Tenant).ShouldBe(["loud", "quiet", "shy", "loud", "quiet", "shy", "loud", "quiet", "shy"]);
    }

    [Fact]
    public async Task Take_LoudModel_OtherModelsTakeTurns()
    {
        Offer(1000, model: "loud");
        Offer(2, model: "quiet");

        (await TakeAsync(4)).Select(h => h.Model).ShouldBe(["loud", "quiet", "loud", "quiet"]);
    }

    [Fact]
    public async Task Take_OneTenantAndModel_KeepsOrderOfAcceptance()
    {
        var hints = Enumerable.Range(0, 50).Select(_ => Hint()).ToList();
        foreach (var hint in Enumerable.Reverse(hints))
        {
            _queue.Offer(hint);
        }

        (await TakeAsync(50)).ShouldBe(hints);
    }

    [Fact]
    public async Task Take_Empty_WaitsForAnOffer()
    {
        var take = _queue.TakeAsync(Token).AsTask();
        take.IsCompleted.ShouldBeFalse();

        var hint = Offer(1)[0];

        (await take).ShouldBe(hint);
    }

    [Fact]
    public async Task Take_Cancelled_Throws()
    {
        using var cancelled = new CancellationTokenSource();
        var take = _queue.TakeAsync(cancelled.Token).AsTask();
        await cancelled.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(take);
    }

    [Fact]
    public async Task Take_BackOff_ComesWhenItHasPassed()
    {
        var hint = Hint() with { NotBefore = _time.GetUtcNow().AddSeconds(10) };
        _queue.Offer(hint);
        var take = _queue.TakeAsync(Token).AsTask();
        _time.Advance(TimeSpan.FromSeconds(9));
        take.IsCompleted.ShouldBeFalse();

        _time.Advance(TimeSpan.FromSeconds(1));

        (await take).ShouldBe(hint);
    }

    [Fact]
    public async Task Offer_KnownJob_IsTakenOnce()
    {
        var hint = Offer(1)[0];
        _queue.Offer(hint);
        (await _queue.TakeAsync(Token)).ShouldBe(hint);
        _queue.Offer(hint);

        _queue.Count.ShouldBe(1);
        _queue.TakeAsync(Token).AsTask().IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Key_NextJob_WaitsForTheEndOfTheOneBefore()
    {
        var first = Hint(key: "k");
        var second = Hint(key: "k");
        _queue.Offer(second);
        _queue.Offer(first);

        // The second was offered alone first: it may come forward, and Storage says that the key is busy.
        (await _queue.TakeAsync(Token)).ShouldBe(second);
        _queue.KeyBusy(second);
        (await _queue.TakeAsync(Token)).ShouldBe(first);
        _queue.Claimed(first);
        var take = _queue.TakeAsync(Token).AsTask();
        take.IsCompleted.ShouldBeFalse();

        _queue.Observe(Ended(first));

        (await take).ShouldBe(second);
    }

    [Fact]
    public async Task Key_ParkedJobs_DoNotHoldOthersBack()
    {
        var keyed = Enumerable.Range(0, 100).Select(_ => Hint(key: "k")).ToList();
        keyed.ForEach(h => _queue.Offer(h));
        _queue.Claimed(await _queue.TakeAsync(Token));
        var free = Offer(1)[0];

        (await _queue.TakeAsync(Token)).ShouldBe(free);
        _queue.TakeAsync(Token).AsTask().IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Key_EndUnheard_IsLookedAtAgain()
    {
        var first = Hint(key: "k");
        var second = Hint(key: "k");
        _queue.Offer(first);
        _queue.Offer(second);
        _queue.Claimed(await _queue.TakeAsync(Token));
        var take = _queue.TakeAsync(Token).AsTask();

        _time.Advance(TimeSpan.FromSeconds(5));

        (await take).ShouldBe(second);
    }

    [Fact]
    public async Task Key_FrontGone_NextComesForward()
    {
        var first = Hint(key: "k");
        var second = Hint(key: "k");
        _queue.Offer(first);
        _queue.Offer(second);
        _queue.Gone(await _queue.TakeAsync(Token));

        (await _queue.TakeAsync(Token)).ShouldBe(second);
    }

    [Fact]
    public async Task Observe_EndOfWaitingJob_DropsIt()
    {
        var hints = Offer(3);
        _queue.Observe(Ended(hints[0]));
        var parked = Hint(key: "k");
        _queue.Offer(parked);
        _queue.Observe(Ended(parked));

        (await TakeAsync(2)).ShouldBe([hints[1], hints[2]]);
        _queue.TakeAsync(Token).AsTask().IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Later_TakenJob_ComesBackThen()
    {
        var hint = Offer(1)[0];
        _queue.Later(await _queue.TakeAsync(Token), _time.GetUtcNow().AddSeconds(2));
        var take = _queue.TakeAsync(Token).AsTask();
        take.IsCompleted.ShouldBeFalse();

        _time.Advance(TimeSpan.FromSeconds(2));

        (await take).ShouldBe(hint);
    }

    [Fact]
    public async Task Offer_Settled_OnceTheJobIsClaimedGoneOrKnownAlready()
    {
        var settled = new List<string>();
        var hints = Enumerable.Range(0, 3).Select(_ => Hint()).ToList();
        hints.ForEach(h => _queue.Offer(h, () => settled.Add(h.Id)));
        settled.ShouldBeEmpty();

        _queue.Offer(hints[0], () => settled.Add("again"));
        settled.ShouldBe(["again"]);

        for (var i = 0; i < 3; i++)
        {
            await _queue.TakeAsync(Token);
        }

        settled.Count.ShouldBe(1);
        _queue.Claimed(hints[0]);
        _queue.Gone(hints[1]);
        _queue.Later(hints[2], _time.GetUtcNow().AddMinutes(1));
        settled.ShouldBe(["again", hints[0].Id, hints[1].Id]);
        _queue.Observe(Ended(hints[2]));
        settled.ShouldContain(hints[2].Id);
    }

    [Fact]
    public async Task Observe_AnotherWorkersClaim_DropsTheHintOfThatAttemptOnly()
    {
        var hint = Hint() with { Attempt = 1 };
        _queue.Offer(hint);

        _queue.Observe(Running(hint, attempt: 1));
        _queue.Count.ShouldBe(1, "word of the attempt before came late");

        _queue.Observe(Running(hint, attempt: 2));
        _queue.Count.ShouldBe(0);

        var unknown = Hint();
        _queue.Offer(unknown);
        _queue.Observe(Running(unknown, attempt: 1));
        (await _queue.TakeAsync(Token)).ShouldBe(unknown);
    }

    [Fact]
    public async Task Room_FullClass_ComesWithTheNextStart()
    {
        Offer(10, JobPriority.Low);
        (await Task.WhenAny(_queue.RoomAsync(JobPriority.High, 10, Token).AsTask(), Task.Delay(5000, Token))).IsCompletedSuccessfully.ShouldBeTrue();
        var room = _queue.RoomAsync(JobPriority.Low, 10, Token).AsTask();
        room.IsCompleted.ShouldBeFalse();

        await TakeAsync(1);

        await room.WaitAsync(TimeSpan.FromSeconds(10), Token);
    }

    [Fact]
    public void Offer_PastLimit_IsLeftToARescan()
    {
        var queue = new JobQueue(new PriorityWeights(1, 1, 1), _time, limit: 10);
        var accepted = Enumerable.Range(0, 20).Select(_ => Hint()).Where(h => queue.Offer(h)).ToList();

        accepted.Count.ShouldBe(10);
        queue.NeedsRescan.ShouldBeFalse();
        accepted.Take(5).ToList().ForEach(h => queue.Observe(Ended(h)));
        queue.NeedsRescan.ShouldBeTrue();
    }

    [Fact]
    public async Task Take_HundredThousandQueued_CostsNoMoreThanAThousand()
    {
        const int takes = 2000;
        var small = await SecondsAsync(1000, takes: 1000) * 2;
        var large = await SecondsAsync(100_000, takes);

        // Flat: a line that is a hundred times longer must not cost ten times more. Generous, for noisy machines.
        large.ShouldBeLessThan(Math.Max(small * 10, 0.5));

        async Task<double> SecondsAsync(int count, int takes)
        {
            var queue = new JobQueue(new PriorityWeights(8, 3, 1), _time);
            for (var i = 0; i < count; i++)
            {
                queue.Offer(Hint(tenant: $"t{i % 50}", key: i % 10 == 0 ? $"k{i}" : null));
            }

            var start = TimeProvider.System.GetTimestamp();
            for (var i = 0; i < takes; i++)
            {
                queue.Claimed(await queue.TakeAsync(Token));
            }

            return TimeProvider.System.GetElapsedTime(start).TotalSeconds;
        }
    }

    [Theory]
    [InlineData("8,3")]
    [InlineData("8,3,0")]
    [InlineData("a,b,c")]
    [InlineData("8,3,1,1")]
    public void Weights_Wrong_SayTheCure(string text) =>
        PriorityWeights.Errors(new MyelinOptions { Jobs = new JobsOptions { Weights = text } }).ShouldHaveSingleItem().ShouldContain("8,3,1");

    private static JobSignal Ended(JobHint hint) => new()
    {
        Job = hint.Id,
        EventId = 1,
        Kind = JobSignalKind.End,
        State = JobState.Succeeded,
        Model = hint.Model,
        Tenant = hint.Tenant,
        Key = hint.Key,
    };

    private static JobSignal Running(JobHint hint, int attempt) =>
        Ended(hint) with { Kind = JobSignalKind.State, State = JobState.Running, EventId = EventIds.Claimed(attempt) };

    private JobHint Hint(JobPriority priority = JobPriority.Normal, string tenant = "t", string model = "m", string? key = null)
    {
        var sequence = ++_sequence;
        return new JobHint($"job-{sequence}", sequence, model, priority, tenant, key, null);
    }

    private List<JobHint> Offer(int count, JobPriority priority = JobPriority.Normal, string tenant = "t", string model = "m")
    {
        var hints = Enumerable.Range(0, count).Select(_ => Hint(priority, tenant, model)).ToList();
        hints.ForEach(h => _queue.Offer(h).ShouldBeTrue());
        return hints;
    }

    private async Task<List<JobHint>> TakeAsync(int count)
    {
        var taken = new List<JobHint>();
        for (var i = 0; i < count; i++)
        {
            taken.Add(await _queue.TakeAsync(Token));
            _queue.Claimed(taken[^1]);
        }

        return taken;
    }
}
