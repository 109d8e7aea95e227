using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Hosting;
using Myelin.Inference;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Jobs.Attempts;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Storage;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

public sealed class WorkerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Job_WithInput_StoresResultAndArtifact()
    {
        var shout = new TestTask((input, _, _) =>
        {
            var text = Encoding.UTF8.GetString(input.Files["text"].Bytes.Span).ToUpperInvariant();
            return Task.FromResult(TestTask.Done($$"""{"mark":"{{input.Parameters.GetProperty("mark").GetString()}}"}""", new TaskArtifact("shout.txt", "text/plain", Encoding.UTF8.GetBytes(text))));
        });
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["shout"] = shout });

        var job = await host.SubmitAsync(new JobSubmission
        {
            Tenant = "t",
            Model = "shout",
            Parameters = """{"mark":"!"}"""u8.ToArray(),
            Files = JobsHost.File("text", "hello"),
        });
        var ended = await host.EndAsync(job.Id);

        ended.State.ShouldBe(JobState.Succeeded);
        Encoding.UTF8.GetString(ended.Result!.Value.Span).ShouldBe("""{"mark":"!"}""");
        (await ReadAsync(host, ended, "shout.txt")).ShouldBe("HELLO");
        (await ReadAsync(host, ended, "input-text")).ShouldBe("hello");
        (await host.Jobs.OpenArtifactAsync(ended, "other.txt", Token)).ShouldBeNull();
        var view = host.Jobs.Describe(ended, null);
        view.Artifacts.ShouldHaveSingleItem().Url.ShouldBe($"/v1/jobs/{job.Id}/artifacts/shout.txt");
    }

    [Fact]
    public async Task Job_KeyedOnes_RunOneAtATimeInOrder()
    {
        var order = new ConcurrentQueue<int>();
        var inside = 0;
        var most = 0;
        var task = new TestTask(async (input, _, token) =>
        {
            most = Math.Max(most, Interlocked.Increment(ref inside));
            await Task.Delay(2, token);
            order.Enqueue(input.Parameters.GetProperty("n").GetInt32());
            Interlocked.Decrement(ref inside);
            return TestTask.Done();
        });
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = task });

        var jobs = new List<JobRecord>();
        for (var n = 0; n < 40; n++)
        {
            jobs.Add(await host.SubmitAsync(new JobSubmission
            {
                Tenant = "t",
                Model = "m",
                Key = "camera",
                Priority = (JobPriority)(n % 3),
                Parameters = Encoding.UTF8.GetBytes($$"""{"n":{{n}}}"""),
            }));
        }

        foreach (var job in jobs)
        {
            (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);
        }

        order.ShouldBe(Enumerable.Range(0, 40));
        most.ShouldBe(1);
    }

    [Fact]
    public async Task Cancel_OneOfTenRunning_TouchesOnlyThatOne()
    {
        using var release = new SemaphoreSlim(0);
        var started = 0;
        var interrupted = 0;
        var task = new TestTask(async (_, _, token) =>
        {
            Interlocked.Increment(ref started);
            using var counted = token.Register(() => Interlocked.Increment(ref interrupted));
            await release.WaitAsync(token);
            return TestTask.Done();
        });
        var options = JobsHost.Options(_folder);
        await using var host = await JobsHost.StartAsync(options with { Worker = options.Worker with { Concurrency = 10 } }, new() { ["m"] = task });
        var jobs = new List<JobRecord>();
        for (var i = 0; i < 10; i++)
        {
            jobs.Add(await host.SubmitAsync("m"));
        }

        await Wait.UntilAsync(() => started == 10);
        var cancel = await host.Jobs.CancelAsync(jobs[4].Id, Token);

        cancel.Status.ShouldBe(CancelStatus.Requested);
        await Wait.UntilAsync(async () => (await host.Jobs.GetAsync(jobs[4].Id, Token))!.State == JobState.Cancelled);
        interrupted.ShouldBe(1);
        foreach (var other in jobs.Where(j => j.Id != jobs[4].Id))
        {
            (await host.Jobs.GetAsync(other.Id, Token))!.State.ShouldBe(JobState.Running);
        }

        release.Release(10);
        foreach (var other in jobs.Where(j => j.Id != jobs[4].Id))
        {
            (await host.EndAsync(other.Id)).State.ShouldBe(JobState.Succeeded);
        }
    }

    [Fact]
    public async Task Cancel_TaskThatDoesNotHeed_IsCancelledAndHoldsItsPermit()
    {
        using var release = new ManualResetEventSlim();
        var started = 0;
        var task = new TestTask((_, _, _) =>
        {
            Interlocked.Increment(ref started);
            return Task.Run(() =>
            {
                release.Wait(CancellationToken.None);
                return TestTask.Done();
            });
        });
        var options = JobsHost.Options(_folder);
        await using var host = await JobsHost.StartAsync(options with { Worker = options.Worker with { Concurrency = 1 } }, new() { ["m"] = task });
        var stubborn = await host.SubmitAsync("m");
        var next = await host.SubmitAsync("m");
        await Wait.UntilAsync(() => started == 1);

        await host.Jobs.CancelAsync(stubborn.Id, Token);

        (await host.EndAsync(stubborn.Id)).State.ShouldBe(JobState.Cancelled);
        (await host.Jobs.GetAsync(next.Id, Token))!.State.ShouldBe(JobState.Queued);
        release.Set();
        (await host.EndAsync(next.Id)).State.ShouldBe(JobState.Succeeded);
    }

    [Fact]
    public async Task Fault_RuntimeRetryable_RetriesUntilItWorks()
    {
        var calls = 0;
        var task = new TestTask((_, _, _) => Interlocked.Increment(ref calls) < 3
            ? throw new RuntimeException("the sidecar crashed", retryable: true)
            : Task.FromResult(TestTask.Done()));
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = task });

        var ended = await host.EndAsync((await host.SubmitAsync("m")).Id);

        ended.State.ShouldBe(JobState.Succeeded);
        ended.Attempt.ShouldBe(3);
        ended.Failures.ShouldBe(2);
        ended.Error.ShouldBeNull();
    }

    [Theory]
    [InlineData("input", ProblemTypes.InvalidInput, 1)]
    [InlineData("runtime", ProblemTypes.RuntimeFailed, 1)]
    [InlineData("crash", ProblemTypes.AttemptsExhausted, 3)]
    [InlineData("bug", ProblemTypes.AttemptsExhausted, 3)]
    public async Task Fault_EachKind_EndsAsItsProblem(string kind, string problem, int attempts)
    {
        var task = new TestTask((_, _, _) => throw (kind switch
        {
            "input" => new InputException("input.image", "is not a picture; send a JPEG"),
            "runtime" => new RuntimeException("wrong shape", retryable: false),
            "crash" => new RuntimeException("gone", retryable: true),
            _ => new InvalidOperationException("a bug"),
        }));
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = task });

        var ended = await host.EndAsync((await host.SubmitAsync("m")).Id);

        ended.State.ShouldBe(JobState.Failed);
        ended.Error!.Type.ShouldBe(problem);
        ended.Attempt.ShouldBe(attempts);
        if (kind == "input")
        {
            ended.Error.Errors!["input.image"].ShouldContain("JPEG");
        }
    }

    [Fact]
    public async Task Fault_ModelGone_FailsAsUnavailable()
    {
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), []);

        var ended = await host.EndAsync((await host.SubmitAsync("m")).Id);

        ended.State.ShouldBe(JobState.Failed);
        ended.Error!.Type.ShouldBe(ProblemTypes.ModelUnavailable);
    }

    [Fact]
    public async Task Attempt_LongerThanAllowed_IsStoppedAndRetried()
    {
        var calls = 0;
        var task = new TestTask(async (_, _, token) =>
        {
            if (Interlocked.Increment(ref calls) == 1)
            {
                await Task.Delay(Timeout.Infinite, token);
            }

            return TestTask.Done();
        });
        var options = JobsHost.Options(_folder);
        await using var host = await JobsHost.StartAsync(
            options with { Worker = options.Worker with { AttemptTimeout = TimeSpan.FromSeconds(3) } }, new() { ["m"] = task });

        var ended = await host.EndAsync((await host.SubmitAsync("m")).Id);

        ended.State.ShouldBe(JobState.Succeeded);
        ended.Attempt.ShouldBe(2);
    }

    [Fact]
    public async Task Shutdown_WithinDrain_FinishesWhatRuns()
    {
        using var release = new SemaphoreSlim(0);
        var started = 0;
        var task = new TestTask(async (_, _, token) =>
        {
            Interlocked.Increment(ref started);
            await release.WaitAsync(token);
            return TestTask.Done();
        });
        JobRecord job;
        await using (var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = task }))
        {
            job = await host.SubmitAsync("m");
            await Wait.UntilAsync(() => started == 1);
            var stopping = host.StopAsync();
            (await host.Jobs.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m" }, Token)).Status.ShouldBe(SubmitStatus.ShuttingDown);
            release.Release();
            await stopping;
        }

        await using var after = await JobsHost.StartAsync(JobsHost.Options(_folder), [], worker: false);
        (await after.Jobs.GetAsync(job.Id, Token))!.State.ShouldBe(JobState.Succeeded);
    }

    /// <summary>No heartbeat comes in time: the bus alone says it.</summary>
    [Fact]
    public async Task Cancel_DuringTheDrain_ReachesTheJobByTheBus()
    {
        var started = 0;
        var endless = Endless(() => Interlocked.Increment(ref started));
        var options = JobsHost.Options(_folder);
        await using var host = await JobsHost.StartAsync(
            options with { Worker = options.Worker with { Lease = TimeSpan.FromHours(1), DrainTimeout = TimeSpan.FromMinutes(10) } }, new() { ["m"] = endless });
        var job = await host.SubmitAsync("m");
        await Wait.UntilAsync(() => started == 1);
        var stopping = host.StopAsync();
        await Wait.UntilAsync(() => host.Get<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);

        await host.Jobs.CancelAsync(job.Id, Token);

        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Cancelled);
        await stopping;
    }

    [Fact]
    public async Task Shutdown_PastDrain_GivesJobsBackAtNoCost()
    {
        var started = 0;
        var endless = Endless(() => Interlocked.Increment(ref started));
        var options = JobsHost.Options(_folder);
        JobRecord job;
        await using (var host = await JobsHost.StartAsync(
            options with { Worker = options.Worker with { DrainTimeout = TimeSpan.FromMilliseconds(100) } }, new() { ["m"] = endless }))
        {
            job = await host.SubmitAsync("m");
            await Wait.UntilAsync(() => started == 1);
        }

        var quick = new TestTask((_, _, _) => Task.FromResult(TestTask.Done()));
        await using var after = await JobsHost.StartAsync(options, new() { ["m"] = quick });
        var ended = await after.EndAsync(job.Id);
        ended.State.ShouldBe(JobState.Succeeded);
        ended.Attempt.ShouldBe(2);
        ended.Failures.ShouldBe(0);
    }

    [Fact]
    public async Task Crash_WhileRunning_NextStartTakesTheJobUpAtOnce()
    {
        var started = 0;
        var endless = Endless(() => Interlocked.Increment(ref started));
        var options = JobsHost.Options(_folder);
        var host = await JobsHost.StartAsync(options with { Worker = options.Worker with { DrainTimeout = TimeSpan.Zero } }, new() { ["m"] = endless });
        var job = await host.SubmitAsync("m");
        await Wait.UntilAsync(() => started == 1);
        await host.Get<Myelin.Hosting.Storage.Sqlite.SqliteDatabase>().AbandonAsync();

        var quick = new TestTask((_, _, _) => Task.FromResult(TestTask.Done()));
        await using (var after = await JobsHost.StartAsync(options, new() { ["m"] = quick }))
        {
            var ended = await after.EndAsync(job.Id);
            ended.State.ShouldBe(JobState.Succeeded);
            ended.Attempt.ShouldBe(2);
            ended.Failures.ShouldBe(1);
        }

        await host.DisposeAsync();
    }

    [Fact]
    public async Task LeaseLost_WhileRunning_DropsTheResult()
    {
        using var release = new SemaphoreSlim(0);
        var started = 0;
        var task = new TestTask(async (_, _, _) =>
        {
            var call = Interlocked.Increment(ref started);
            if (call == 1)
            {
                // Deaf to its token, as a network that cannot be interrupted.
                await release.WaitAsync(CancellationToken.None);
            }

            return TestTask.Done($$"""{"call":{{call}}}""", new TaskArtifact("out.txt", "text/plain", Encoding.UTF8.GetBytes($"call {call}")));
        });
        await using var host = await JobsHost.StartAsync(JobsHost.Options(_folder), new() { ["m"] = task });
        var job = await host.SubmitAsync("m");
        await Wait.UntilAsync(() => started == 1);

        // Somebody decides that this worker is gone, as after a long pause of its process.
        var policy = new RecoveryPolicy { MaxAttempts = 3, AllLeases = true };
        var recovered = (await host.Get<IJobStore>().RecoverAsync(TimeProvider.System.GetUtcNow(), policy, 10, Token)).ShouldHaveSingleItem();
        await host.Get<JobAnnouncer>().ChangedAsync(recovered, Token);
        var ended = await host.EndAsync(job.Id);
        release.Release();
        await Wait.UntilAsync(() => host.Get<RunningJobs>().Count == 0);

        var read = (await host.Jobs.GetAsync(job.Id, Token))!;
        ended.Attempt.ShouldBe(2);
        Encoding.UTF8.GetString(read.Result!.Value.Span).ShouldBe("""{"call":2}""");
        (await ReadAsync(host, read, "out.txt")).ShouldBe("call 2");
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>Says that it runs and ends only by its token.</summary>
    private static TestTask Endless(Action started) => new(async (_, _, token) =>
    {
        started();
        await Task.Delay(Timeout.Infinite, token);
        return TestTask.Done();
    });

    private static async Task<string> ReadAsync(JobsHost host, JobRecord job, string name)
    {
        var (_, content) = (await host.Jobs.OpenArtifactAsync(job, name, Token)).ShouldNotBeNull();
        await using (content)
        {
            using var reader = new StreamReader(content);
            return await reader.ReadToEndAsync(Token);
        }
    }
}
