using System.Text;
using Myelin.Hosting.Artifacts;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

public sealed class CoordinatorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Deadline_Passed_ExpiresTheQueuedJob()
    {
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), [], worker: false);
        var job = await host.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Deadline = TimeProvider.System.GetUtcNow().AddMilliseconds(50) });

        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Expired);
    }

    [Fact]
    public async Task Retention_Passed_DeletesBlobsAndThenForgets()
    {
        var options = JobsHost.Options(_folder);
        var quick = new TestTask((_, _, _) => Task.FromResult(TestTask.Done("{}", new TaskArtifact("out.txt", "text/plain", "x"u8.ToArray()))));
        await using var host = await JobsHost.StartAsync(
            options with { Jobs = options.Jobs with { Retention = TimeSpan.FromMilliseconds(200), Remember = TimeSpan.FromSeconds(1) } }, new() { ["m"] = quick });
        var job = await host.SubmitAsync(new JobSubmission
        {
            Tenant = "t",
            Model = "m",
            Files = [new SubmittedFile("text", "text/plain", new MemoryStream(Encoding.UTF8.GetBytes(new string('x', 40_000))))],
        });
        await host.EndAsync(job.Id);

        await Wait.UntilAsync(async () => (await host.Jobs.GetAsync(job.Id, Token)) is null or { Purged: true });
        await Wait.UntilAsync(() => !Directory.EnumerateFiles(_folder.Combine("artifacts"), "*-*", SearchOption.AllDirectories).Any());
        (await host.Get<IArtifacts>().OpenAsync(job.Id, JobBlobs.InputName("text"), Token)).ShouldBeNull();
        await Wait.UntilAsync(async () => await host.Jobs.GetAsync(job.Id, Token) is null);
    }

    [Fact]
    public async Task Start_JobsFromBefore_AreRun()
    {
        var jobs = new List<JobRecord>();
        await using (var before = await JobsHost.StartAsync(JobsHost.Options(_folder), [], worker: false))
        {
            for (var i = 0; i < 50; i++)
            {
                jobs.Add(await before.SubmitAsync("m"));
            }
        }

        var quick = new TestTask((_, _, _) => Task.FromResult(TestTask.Done()));
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = quick });
        foreach (var job in jobs)
        {
            (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);
        }
    }

    [Fact]
    public async Task Worker_HintLost_FindsTheJobItself()
    {
        var quick = new TestTask((_, _, _) => Task.FromResult(TestTask.Done()));
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = quick });
        var job = new JobRecord { Id = host.Get<JobIds>().Next(), Tenant = "t", Model = "m", CreatedAt = TimeProvider.System.GetUtcNow() };

        // Stored, and no word on the bus.
        await host.Get<IJobStore>().InsertAsync(job, [], 1000, Token);

        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);
    }

    [Fact]
    public async Task Webhooks_EndedJobWithCallback_IsDueUntilDelivered()
    {
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), [], worker: false);
        var hooks = host.Get<IWebhookStore>();
        var now = TimeProvider.System.GetUtcNow();
        var job = await host.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Callback = new JobCallback("https://example.org/x", "s") });
        (await hooks.TakeDueAsync(now.AddMinutes(1), now, WebhookTurn.Of(10), Token)).Due.ShouldBeEmpty();
        await host.Jobs.CancelAsync(job.Id, Token);

        var due = (await hooks.TakeDueAsync(now.AddMinutes(1), now.AddMinutes(2), WebhookTurn.Of(10), Token)).Due.ShouldHaveSingleItem();
        due.ShouldBe(new WebhookDelivery(due.Id, job.Id, new JobCallback("https://example.org/x", "s"), 1, "example.org"));
        (await hooks.TakeDueAsync(now.AddMinutes(1), now.AddMinutes(2), WebhookTurn.Of(10), Token)).Due.ShouldBeEmpty();
        (await hooks.TakeDueAsync(now.AddMinutes(2), now.AddMinutes(3), WebhookTurn.Of(10), Token)).Due.ShouldHaveSingleItem().Attempt.ShouldBe(2);
        await hooks.FailedAsync(due.Id, now.AddMinutes(5), "refused", Token);
        (await hooks.TakeDueAsync(now.AddMinutes(4), now.AddMinutes(6), WebhookTurn.Of(10), Token)).Due.ShouldBeEmpty();
        (await hooks.TakeDueAsync(now.AddMinutes(5), now.AddMinutes(6), WebhookTurn.Of(10), Token)).Due.ShouldHaveSingleItem();
        await hooks.DeliveredAsync(due.Id, Token);
        (await hooks.TakeDueAsync(now.AddHours(1), now.AddHours(2), WebhookTurn.Of(10), Token)).Due.ShouldBeEmpty();
    }

    public void Dispose() => _folder.Dispose();
}
