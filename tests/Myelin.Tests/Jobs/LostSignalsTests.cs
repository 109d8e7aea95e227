using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Tasks.Sidecars;
using Myelin.Jobs;
using Myelin.Jobs.Dispatch;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

/// <summary>The bus may lose signals. What is keyed by jobs that run must not wait for their ends.</summary>
public sealed class LostSignalsTests
{
    private readonly ManualTime _time = new();
    private readonly MyelinOptions _options = new();

    [Fact]
    public void LastHeard_EndsUnheard_HoldsTheLimitAndDropsTheLongestUnheard()
    {
        var dropped = new List<int>();
        var heard = new LastHeard<int>(limit: 3, TimeSpan.FromMinutes(1), _time, dropped.Add);
        Enumerable.Range(0, 3).ToList().ForEach(i => heard.Put($"{i}", i));
        heard.Put("0", 10);

        heard.Put("3", 3);

        heard.Count.ShouldBe(3);
        heard.TryGet("1", out _).ShouldBeFalse("nothing was heard of it for the longest time");
        heard.TryGet("0", out var value).ShouldBeTrue();
        value.ShouldBe(10);
        dropped.ShouldBe([0, 1]);
    }

    [Fact]
    public void LastHeard_OlderThanItsEndCanBeAway_IsGone()
    {
        var heard = new LastHeard<int>(limit: 3, TimeSpan.FromMinutes(1), _time);
        heard.Put("a", 1);
        _time.Advance(TimeSpan.FromSeconds(50));
        heard.Put("b", 2);

        _time.Advance(TimeSpan.FromSeconds(20));

        heard.TryGet("a", out _).ShouldBeFalse();
        heard.TryGet("b", out _).ShouldBeTrue();
        heard.Count.ShouldBe(1);
    }

    [Fact]
    public void Rates_EndsUnheard_CountNoLongerThanAnAttemptMayRun()
    {
        var rates = new ServiceRates(_options, _time);
        for (var i = 0; i < 1000; i++)
        {
            rates.Observe(Running($"j{i}"));
            rates.Observe(Running($"j{i}")); // a second attempt: the first one's end went unheard
        }

        rates.Observe(Running("other") with { Model = "n" });
        rates.Of("m").Running.ShouldBe(1000);
        _time.Advance(_options.Worker.AttemptTimeout);
        rates.Observe(Running("late"));

        _time.Advance(_options.Worker.Lease + TimeSpan.FromSeconds(1));

        rates.Of("m").Running.ShouldBe(1);
        rates.Of("n").Running.ShouldBe(0);
    }

    [Fact]
    public void Rates_NamesMadeUp_AreBoundedAndModelsInUseStay()
    {
        var rates = new ServiceRates(_options, _time);
        for (var i = 0; i < 3 * ServiceRates.ModelLimit; i++)
        {
            rates.Observe(Running($"j{i}") with { Model = $"made-up-{i}" });
            if (i % 100 == 0)
            {
                rates.Observe(Running("real"));
            }
        }

        rates.Models.ShouldBe(ServiceRates.ModelLimit);
        rates.Of("m").Running.ShouldBe(1);
    }

    [Fact]
    public void Previews_EndsUnheard_TheNewestJobsHaveThem()
    {
        var previews = new JobPreviews(TimeSpan.FromHours(1), _time);
        for (var i = 0; i < 1000; i++)
        {
            previews.Put($"j{i}", new byte[] { 1 });
        }

        previews.Find("j999").ShouldNotBeNull();
        previews.Find("j0").ShouldBeNull();
    }

    [Fact]
    public async Task Queue_EndsOfKeysUnheard_LanesGoByThemselves()
    {
        var queue = new JobQueue(new PriorityWeights(8, 3, 1), _time);
        for (var i = 0; i < 1000; i++)
        {
            var hint = new JobHint($"j{i}", i, "m", JobPriority.Normal, "t", Key: $"k{i}");
            queue.Offer(hint);
            await queue.TakeAsync(TestContext.Current.CancellationToken);
            queue.Claimed(hint);
        }

        queue.Lanes.ShouldBe(1000, "each key's job runs");

        _time.Advance(TimeSpan.FromMinutes(1));
        var last = new JobHint("last", 1000, "m", JobPriority.Normal, "t");
        queue.Offer(last);
        (await queue.TakeAsync(TestContext.Current.CancellationToken)).ShouldBe(last);
        queue.Lanes.ShouldBe(0);
    }

    /// <summary>A task says nonsense of its own times: its end is heard all the same.</summary>
    [Theory]
    [InlineData("""{"timings":{"inferMs":1e300,"decodeMs":-1e300,"encodeMs":1e300}}""")]
    [InlineData("""{"timings":{"inferMs":1e999}}""")]
    public async Task End_WithImpossibleTimings_IsHeardAndCounted(string result)
    {
        using var folder = new TemporaryFolder();
        await using var host = await JobsHost.StartAsync(JobsHost.Options(folder), new() { ["m"] = new TestTask((_, _, _) => Task.FromResult(TestTask.Done(result))) });

        var job = await host.SubmitAsync("m");

        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);
        await Wait.UntilAsync(() => host.Get<ServiceRates>().Of("m").Succeeded == 1);
    }

    [Fact]
    public void Artifacts_LongestNameOfASidecar_CanBeStored() =>
        BlobName.IsValid(JobBlobs.ResultName(int.MaxValue, new string('a', SidecarTask.MaxNameLength))).ShouldBeTrue();

    private static JobSignal Running(string job) => new()
    {
        Job = job,
        EventId = 1,
        Kind = JobSignalKind.State,
        State = JobState.Running,
        Model = "m",
        Tenant = "t",
    };
}
