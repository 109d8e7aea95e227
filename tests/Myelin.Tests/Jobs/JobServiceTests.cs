using System.Text;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

public sealed class JobServiceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Submit_FullQueue_IsRefusedAtOnceWithRetryAfterAndLeavesNoBlobs()
    {
        await using var host = await StartAsync(queueLimit: 5);
        var results = await Task.WhenAll(Enumerable.Range(0, 2000).Select(i => host.Jobs.SubmitAsync(Submission(large: i % 7 == 0), Token).AsTask()));

        results.Count(r => r.Status == SubmitStatus.Accepted).ShouldBe(5);
        foreach (var refused in results.Where(r => r.Status != SubmitStatus.Accepted))
        {
            refused.Status.ShouldBe(SubmitStatus.QueueFull);
            refused.RetryAfter!.Value.ShouldBeInRange(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(600));
        }

        var blobs = await BlobsAsync(host);
        blobs.Except(results.Where(r => r.Status == SubmitStatus.Accepted).Select(r => r.Job!.Id)).ShouldBeEmpty();
    }

    [Fact]
    public async Task Submit_Repeat_GivesFirstJobAlsoWhenTheQueueIsFull()
    {
        await using var host = await StartAsync(queueLimit: 1);
        var first = await host.Jobs.SubmitAsync(Submission() with { IdempotencyKey = "k" }, Token);
        var repeat = await host.Jobs.SubmitAsync(Submission() with { IdempotencyKey = "k" }, Token);
        var other = await host.Jobs.SubmitAsync(Submission(text: "other") with { IdempotencyKey = "k" }, Token);
        var unknown = await host.Jobs.SubmitAsync(Submission() with { IdempotencyKey = "new" }, Token);

        repeat.Status.ShouldBe(SubmitStatus.Repeated);
        repeat.Job!.Id.ShouldBe(first.Job!.Id);
        other.Status.ShouldBe(SubmitStatus.IdempotencyMismatch);
        unknown.Status.ShouldBe(SubmitStatus.QueueFull);
    }

    [Fact]
    public async Task Submit_RepeatWithLargeInput_DeletesTheSecondBlob()
    {
        await using var host = await StartAsync();
        var first = await host.Jobs.SubmitAsync(Submission(large: true) with { IdempotencyKey = "k" }, Token);
        await host.Jobs.SubmitAsync(Submission(large: true) with { IdempotencyKey = "k" }, Token);

        (await BlobsAsync(host)).ShouldBe([first.Job!.Id]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Submit_Input_IsReadBackAfterReopening(bool large)
    {
        JobRecord job;
        await using (var host = await StartAsync())
        {
            job = await host.SubmitAsync(Submission(large));
            (await BlobsAsync(host)).Count.ShouldBe(large ? 1 : 0);
        }

        await using var after = await StartAsync();
        var read = (await after.Jobs.GetAsync(job.Id, Token))!;
        var (blob, content) = (await after.Jobs.OpenArtifactAsync(read, "input-text", Token))!.Value;
        await using (content)
        {
            content.CanSeek.ShouldBeTrue();
            content.Length.ShouldBe(blob.Size);
            var bytes = new byte[content.Length];
            await content.ReadExactlyAsync(bytes, Token);
            Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes)).ShouldBe(blob.Sha256);
        }
    }

    [Fact]
    public async Task Submit_LowDisk_IsStorageFull()
    {
        var options = JobsHost.Options(_folder);
        await using var host = await JobsHost.StartAsync(
            options with { Jobs = options.Jobs with { MinimumFreeBytes = long.MaxValue } }, [], worker: false);

        (await host.Jobs.SubmitAsync(Submission(), Token)).Status.ShouldBe(SubmitStatus.StorageFull);
    }

    [Fact]
    public async Task Describe_QueuedJobs_ShowPosition()
    {
        await using var host = await StartAsync();
        var first = await host.Jobs.SubmitAsync(Submission(), Token);
        var second = await host.Jobs.SubmitAsync(Submission(), Token);
        var high = await host.Jobs.SubmitAsync(Submission() with { Priority = JobPriority.High }, Token);

        (first.Position, second.Position, high.Position).ShouldBe((0, 1, 0));
        (await host.Jobs.DescribeAsync(second.Job!, Token)).Position.ShouldBe(2);
    }

    [Fact]
    public async Task Wait_PastTimeout_GivesTheJobAsItIs()
    {
        await using var host = await StartAsync();
        var job = await host.SubmitAsync(Submission());

        (await host.Jobs.WaitAsync(job.Id, TimeSpan.FromMilliseconds(20), Token))!.State.ShouldBe(JobState.Queued);
        (await host.Jobs.WaitAsync("01nosuchjob", TimeSpan.FromSeconds(1), Token)).ShouldBeNull();
    }

    [Fact]
    public async Task Cancel_QueuedJob_EndsItsWatchers()
    {
        await using var host = await StartAsync();
        var job = await host.SubmitAsync(Submission());
        var waiting = host.EndAsync(job.Id);

        (await host.Jobs.CancelAsync(job.Id, Token)).Status.ShouldBe(CancelStatus.Cancelled);

        (await waiting).State.ShouldBe(JobState.Cancelled);
        (await host.Jobs.CancelAsync(job.Id, Token)).Status.ShouldBe(CancelStatus.AlreadyEnded);
        (await host.Jobs.CancelAsync("../../etc", Token)).Status.ShouldBe(CancelStatus.NotFound);
    }

    [Fact]
    public void Rates_SteadyEnds_GiveEtaAndBoundedRetryAfter()
    {
        var rates = new ServiceRates(new MyelinOptions(), TimeProvider.System);
        var start = new DateTimeOffset(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);
        rates.Eta("m", 3).ShouldBeNull();
        for (var i = 0; i < 50; i++)
        {
            // Two seconds each, back to back, and then a long time without work.
            rates.Observe(End(start.AddSeconds(2 * i), start.AddSeconds(2 * i + 2)));
        }

        rates.Observe(End(start.AddHours(9), start.AddHours(9).AddSeconds(2)));

        rates.Eta("m", 4)!.Value.ShouldBe(10, 0.1);
        rates.RetryAfter("m", 0).TotalSeconds.ShouldBeInRange(2, 4);
        rates.RetryAfter("m", 1_000_000).ShouldBe(TimeSpan.FromMinutes(10));
        rates.RetryAfter("unknown", 0).TotalSeconds.ShouldBeInRange(1, 2);
        rates.Of("m").Succeeded.ShouldBe(51);

        static JobSignal End(DateTimeOffset start, DateTimeOffset end) => new()
        {
            Job = "j",
            EventId = 1,
            Kind = JobSignalKind.End,
            State = JobState.Succeeded,
            Model = "m",
            Tenant = "t",
            StartedAt = start,
            EndedAt = end,
        };
    }

    [Fact]
    public void JobIds_MadeFast_AreUniqueSortedAndValid()
    {
        var time = new ManualTime();
        var ids = new JobIds(time);
        var made = Enumerable.Range(0, 1000).Select(i =>
        {
            if (i == 500)
            {
                time.Jump(TimeSpan.FromHours(-1));
            }

            return ids.Next();
        }).ToList();

        made.ShouldBe(made.Distinct().Order(StringComparer.Ordinal));
        made.ShouldAllBe(id => JobIds.IsValid(id));
        JobIds.IsValid("../../../../../../etc/passw").ShouldBeFalse();
        JobIds.IsValid("").ShouldBeFalse();
        JobIds.IsValid(new string('z', JobIds.Length)).ShouldBeFalse("no clock shows that");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Submit_QueueFilledByAnotherTenant_IsAccepted()
    {
        await using var host = await StartAsync(queueLimit: 5);
        for (var i = 0; i < 5; i++)
        {
            (await host.Jobs.SubmitAsync(Submission(), Token)).Status.ShouldBe(SubmitStatus.Accepted);
        }

        (await host.Jobs.RefuseUnseenAsync("t", "m", Token))!.Status.ShouldBe(SubmitStatus.QueueFull);
        (await host.Jobs.RefuseUnseenAsync("u", "m", Token)).ShouldBeNull();
        (await host.Jobs.SubmitAsync(Submission() with { Tenant = "u" }, Token)).Status.ShouldBe(SubmitStatus.Accepted);
        (await host.Jobs.SubmitAsync(Submission() with { Tenant = "u" }, Token)).Status.ShouldBe(SubmitStatus.QueueFull);
    }

    private static JobSubmission Submission(bool large = false, string text = "hello") => new()
    {
        Tenant = "t",
        Model = "m",
        Files = [new SubmittedFile("text", "text/plain", new MemoryStream(Encoding.UTF8.GetBytes(large ? new string('x', 40_000) : text)))],
    };

    private static async Task<List<string>> BlobsAsync(JobsHost host)
    {
        var jobs = new List<string>();
        await foreach (var job in host.Get<IArtifacts>().ListJobsAsync(Token))
        {
            jobs.Add(job);
        }

        return jobs;
    }

    private Task<JobsHost> StartAsync(int queueLimit = 1000)
    {
        var options = JobsHost.Options(_folder);
        return JobsHost.StartAsync(options with { Jobs = options.Jobs with { QueueLimit = queueLimit } }, [], worker: false);
    }
}
