using Microsoft.Extensions.Hosting;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Jobs.Attempts;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

/// <summary>Tasks that do not heed their word to stop.</summary>
public sealed class AbandonedTasksTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Worker_WhoseTasksIgnoreTheirToken_IsUnreadyUntilTheyReturn()
    {
        var (started, release) = (0, new TaskCompletionSource());
        var deaf = new TestTask(async (_, _, _) =>
        {
            Interlocked.Increment(ref started);
            await release.Task;
            return TestTask.Done();
        });
        await using var host = await StartAsync(new() { ["deaf"] = deaf }, concurrency: 2);
        var job = await host.SubmitAsync("deaf");
        await Wait.UntilAsync(() => started == 1);
        host.Get<Readiness>().Check().Reasons.ShouldBeEmpty();

        await host.Jobs.CancelAsync(job.Id, Token);

        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Cancelled);
        await Wait.UntilAsync(() => host.Get<AbandonedTasks>().Reason() is not null);
        host.Get<Readiness>().Check().Reasons.ShouldHaveSingleItem().ShouldBe("worker: 1 of 2 permits are held by tasks that do not heed their word to stop");

        release.SetResult();
        await Wait.UntilAsync(() => host.Get<AbandonedTasks>().Reason() is null);
        host.Get<FatalErrors>().First.ShouldBeNull();
    }

    [Fact]
    public async Task Worker_WithoutAnyPermitForFiveMinutes_Ends()
    {
        var time = new ManualTime();
        await using var host = await StartAsync([], concurrency: 2);
        using var abandoned = new AbandonedTasks(new MyelinOptions { Worker = new WorkerOptions { Concurrency = 2 } }, host.Get<FatalErrors>(), host.Get<JobInstruments>(), time);
        var (one, other) = (new TaskCompletionSource(), new TaskCompletionSource());
        abandoned.Add(one.Task);
        abandoned.Reason().ShouldNotBeNull();
        time.Advance(TimeSpan.FromHours(1)); // the other permit works
        abandoned.Add(other.Task);
        time.Advance(TimeSpan.FromSeconds(299));
        one.SetResult(); // just in time
        time.Advance(TimeSpan.FromHours(1));
        host.Get<FatalErrors>().First.ShouldBeNull();

        abandoned.Add(new TaskCompletionSource().Task);
        time.Advance(TimeSpan.FromMinutes(5));

        host.Get<FatalErrors>().First.ShouldBe("worker: 2 of 2 permits are held by tasks that do not heed their word to stop");
        host.Get<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested.ShouldBeTrue();
    }

    /// <summary>One call, deaf for minutes, is all that a worker of one permit has.</summary>
    [Fact]
    public async Task Worker_OfOnePermitWhoseCallReturnsAfterMinutes_GoesOn()
    {
        var time = new ManualTime();
        await using var host = await StartAsync([], concurrency: 1);
        using var abandoned = new AbandonedTasks(new MyelinOptions { Worker = new WorkerOptions { Concurrency = 1 } }, host.Get<FatalErrors>(), host.Get<JobInstruments>(), time);
        for (var call = 0; call < 10; call++)
        {
            var deaf = new TaskCompletionSource();
            abandoned.Add(deaf.Task);
            time.Advance(TimeSpan.FromMinutes(4));
            deaf.SetResult();
        }

        abandoned.Reason().ShouldBeNull();
        host.Get<FatalErrors>().First.ShouldBeNull();
    }

    /// <summary>Work that is done in vain because its blobs find no place: the job does not pay, and the work is done ever more seldom.</summary>
    [Fact]
    public void Endings_BlobsFindNoPlace_GoBackUncountedAndEverLater()
    {
        var time = new ManualTime();
        var endings = new AttemptEndings(new MyelinOptions(), time);
        var job = new JobRecord { Id = "j", Tenant = "t", Model = "m", State = JobState.Running, CreatedAt = time.GetUtcNow() };

        var delays = Enumerable.Range(1, 40).Select(attempt => endings.Faulted(job with { Attempt = attempt }, new ArtifactsFullException("full"))).ToList();

        delays.ShouldAllBe(outcome => outcome.State == JobState.Queued && !outcome.CountsAsFailure);
        (delays[0].RetryAt!.Value - time.GetUtcNow()).ShouldBeInRange(TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(7));
        (delays[39].RetryAt!.Value - time.GetUtcNow()).ShouldBeInRange(TimeSpan.FromSeconds(36), TimeSpan.FromSeconds(60));
    }

    public void Dispose() => _folder.Dispose();

    private Task<JobsHost> StartAsync(Dictionary<string, ITask> models, int concurrency)
    {
        var options = JobsHost.Options(_folder);
        return JobsHost.StartAsync(options with { Worker = options.Worker with { Concurrency = concurrency } }, models);
    }
}
