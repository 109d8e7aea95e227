using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

public sealed class JobEventsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly SemaphoreSlim _steps = new(0);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Watch_FromStart_SeesStatesProgressAndEndInOrder()
    {
        await using var host = await StartAsync();
        var job = await host.SubmitAsync("m");
        var updates = new List<JobUpdate>();

        await foreach (var update in host.Jobs.EventsAsync(job.Id, null, Token))
        {
            updates.Add(update);
            if (update.Job.State == JobState.Running)
            {
                _steps.Release();
            }
        }

        updates.Select(u => u.EventId).ShouldBe(updates.Select(u => u.EventId).Distinct().Order());
        updates[0].Kind.ShouldBe("state");
        updates[^1].Kind.ShouldBe("end");
        updates[^1].Job.State.ShouldBe(JobState.Succeeded);
        updates.Count(u => u.Kind == "end").ShouldBe(1);
        var progress = updates.Where(u => u.Kind == "progress").Select(u => u.Job.Progress!.Step).ToList();
        progress.ShouldNotBeEmpty();
        progress.ShouldBe(progress.Order());
    }

    [Fact]
    public async Task Watch_Resumed_SkipsWhatWasSeen()
    {
        await using var host = await StartAsync();
        var job = await host.SubmitAsync("m");
        var seen = new List<JobUpdate>();
        await foreach (var update in host.Jobs.EventsAsync(job.Id, null, Token))
        {
            seen.Add(update);
            if (update.Kind == "progress")
            {
                break;
            }

            _steps.Release();
        }

        _steps.Release(10);
        var rest = new List<JobUpdate>();
        await foreach (var update in host.Jobs.EventsAsync(job.Id, seen[^1].EventId, Token))
        {
            rest.Add(update);
        }

        rest.ShouldNotBeEmpty();
        rest[0].EventId.ShouldBeGreaterThan(seen[^1].EventId);
        rest[^1].Kind.ShouldBe("end");
    }

    [Fact]
    public async Task Watch_EndedJob_GivesTheEndOnceAndNothingAfterIt()
    {
        await using var host = await StartAsync();
        _steps.Release(10);
        var job = await host.EndAsync((await host.SubmitAsync("m")).Id);

        var all = await CollectAsync(host.Jobs.EventsAsync(job.Id, null, Token));
        var none = await CollectAsync(host.Jobs.EventsAsync(job.Id, job.EventId, Token));
        var unknown = await CollectAsync(host.Jobs.EventsAsync("01unknown", null, Token));

        all.ShouldHaveSingleItem().Kind.ShouldBe("end");
        none.ShouldBeEmpty();
        unknown.ShouldBeEmpty();
    }

    [Fact]
    public async Task Watch_ManyWatchers_AllSeeTheEnd()
    {
        await using var host = await StartAsync();
        var job = await host.SubmitAsync("m");
        var watchers = Enumerable.Range(0, 200).Select(_ => CollectAsync(host.Jobs.EventsAsync(job.Id, null, Token))).ToList();

        _steps.Release(10);

        foreach (var updates in await Task.WhenAll(watchers))
        {
            updates[^1].Kind.ShouldBe("end");
        }
    }

    /// <summary>A watcher that does not read costs nothing that grows; it gets the end, and what it missed is counted.</summary>
    [Fact]
    public async Task Watch_SlowReader_GetsTheEndAndItsLossIsCounted()
    {
        await using var host = await StartAsync();
        using var page = new MetricsPage(host.Get<IMeterFactory>());
        var job = await host.SubmitAsync("m");
        await using (var watch = host.Jobs.EventsAsync(job.Id, null, Token).GetAsyncEnumerator(Token))
        {
            (await watch.MoveNextAsync()).ShouldBeTrue();
            for (var step = 1; step < 3; step++)
            {
                _steps.Release();
                await Wait.UntilAsync(async () => (await host.Jobs.GetAsync(job.Id, Token))!.Progress?.Step == step);
            }

            _steps.Release();
            await host.EndAsync(job.Id);
            var last = watch.Current;
            while (await watch.MoveNextAsync())
            {
                last = watch.Current;
            }

            last.Kind.ShouldBe("end");
        }

        page.Write().ShouldMatch(@"myelin_jobs_signals_coalesced_total [1-9]");
    }

    [Fact]
    public async Task Preview_WhileRunning_IsFoundAndGoneAfterwards()
    {
        await using var host = await StartAsync();
        var job = await host.SubmitAsync("m");
        _steps.Release();
        await Wait.UntilAsync(() => host.Jobs.FindPreview(job.Id) is not null);

        var running = (await host.Jobs.GetAsync(job.Id, Token))!;
        await Wait.UntilAsync(async () => (await host.Jobs.GetAsync(job.Id, Token))!.Progress is not null);
        host.Jobs.FindPreview(job.Id)!.Value.ToArray().ShouldBe([0xff, 0xd8, 1]);
        running.State.ShouldBe(JobState.Running, running.ToString());

        _steps.Release(10);
        await host.EndAsync(job.Id);
        await Wait.UntilAsync(() => host.Jobs.FindPreview(job.Id) is null);
    }

    [Fact]
    public void Subscription_SlowWatcher_LosesOnlyProgress()
    {
        var subscription = new JobSubscription();
        var signal = new JobSignal { Job = "j", EventId = 0, Kind = JobSignalKind.State, State = JobState.Running, Model = "m", Tenant = "t" };
        subscription.Offer(signal);
        for (var i = 1; i <= 1000; i++)
        {
            subscription.Offer(signal with { Kind = JobSignalKind.Progress, EventId = i });
        }

        subscription.Offer(signal with { Kind = JobSignalKind.End, EventId = 1001, State = JobState.Succeeded });

        var read = Enumerable.Range(0, 2).Select(_ => subscription.NextAsync(TimeSpan.FromSeconds(1), TimeProvider.System, Token).AsTask().Result!.EventId);
        read.ShouldBe([0, 1001]);
        subscription.Coalesced.ShouldBe(1000);
    }

    [Fact]
    public void EventIds_OverAttempts_GrowStrictly()
    {
        long[] life =
        [
            EventIds.Queued, EventIds.Claimed(1), EventIds.Progress(1, 1), EventIds.Progress(1, 2), EventIds.Progress(1, long.MaxValue), EventIds.Ended(1),
            EventIds.Claimed(2), EventIds.Ended(2), EventIds.EndedInQueue(2),
        ];
        life.ShouldBe(life.Distinct().Order());
        EventIds.EndedInQueue(0).ShouldBeGreaterThan(EventIds.Queued);
    }

    public void Dispose()
    {
        _steps.Dispose();
        _folder.Dispose();
    }

    private static async Task<List<JobUpdate>> CollectAsync(IAsyncEnumerable<JobUpdate> updates)
    {
        var list = new List<JobUpdate>();
        await foreach (var update in updates)
        {
            list.Add(update);
        }

        return list;
    }

    /// <summary>A model with three steps; each waits for the test.</summary>
    private Task<JobsHost> StartAsync() => JobsHost.StartAsync(JobsHost.Options(_folder), new()
    {
        ["m"] = new TestTask(async (_, progress, token) =>
        {
            for (var step = 1; step <= 3; step++)
            {
                await _steps.WaitAsync(token);
                progress.Report(new TaskProgress(step, 3, 0.01, new byte[] { 0xff, 0xd8, (byte)step }));
            }

            return TestTask.Done();
        }),
    });
}
