using System.Collections.Concurrent;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

/// <summary>The server's own services over PostgreSQL, several of them on one database and one folder of blobs.</summary>
public sealed class SharedStorageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Jobs_SubmittedToEachOfTwoProcesses_RunOnceEach()
    {
        var options = await OptionsAsync();
        var runs = new ConcurrentDictionary<string, int>();
        var task = new TestTask((input, _, _) =>
        {
            runs.AddOrUpdate(input.Parameters.GetProperty("n").ToString(), 1, (_, n) => n + 1);
            return Task.FromResult(TestTask.Done());
        });
        await using var first = await JobsHost.StartAsync(options, new() { ["m"] = task });
        await using var second = await JobsHost.StartAsync(options, new() { ["m"] = task });

        var jobs = await Task.WhenAll(Enumerable.Range(0, 60).Select(i => (i % 2 == 0 ? first : second).SubmitAsync("m", $$"""{"n":{{i}}}""")));
        foreach (var job in jobs)
        {
            (await EndAsync(first, job.Id)).State.ShouldBe(JobState.Succeeded);
        }

        runs.Count.ShouldBe(60);
        runs.Values.ShouldAllBe(n => n == 1);
    }

    /// <summary>Every hint goes to one process; the other finds the rows and keeps on helping while there are any.</summary>
    [Fact]
    public async Task Jobs_AllHintsToOneProcess_AreSharedByTheIdleOne()
    {
        var options = await OptionsAsync();
        options = options with { Worker = options.Worker with { Concurrency = 1 } };
        var helped = 0;
        TestTask Task30(Action ran) => new(async (_, _, token) =>
        {
            ran();
            await Task.Delay(30, token);
            return TestTask.Done();
        });
        await using var told = await JobsHost.StartAsync(options, new() { ["m"] = Task30(() => { }) });
        await using var idle = await JobsHost.StartAsync(options, new() { ["m"] = Task30(() => Interlocked.Increment(ref helped)) });

        // Few wait at any time: one look every two seconds would bring the idle one little.
        await Task.WhenAll(Enumerable.Range(0, 6).Select(async _ =>
        {
            for (var n = 0; n < 50; n++)
            {
                await EndAsync(told, (await told.SubmitAsync("m")).Id);
            }
        }));

        helped.ShouldBeGreaterThan(60, "of 300 jobs");
    }

    /// <summary>With one owner of the storage a start takes every running job back; here it may belong to a living process.</summary>
    [Fact]
    public async Task Start_BesideARunningProcess_LeavesItsJobsAlone()
    {
        var options = await OptionsAsync();
        var release = new TaskCompletionSource();
        var slow = new TestTask(async (_, _, _) =>
        {
            await release.Task;
            return TestTask.Done();
        });
        await using var first = await JobsHost.StartAsync(options, new() { ["m"] = slow });
        var job = await first.SubmitAsync("m");
        await Wait.UntilAsync(async () => (await first.Jobs.GetAsync(job.Id, Token))!.State == JobState.Running);

        await using var second = await JobsHost.StartAsync(options, new() { ["m"] = slow });
        release.SetResult();

        (await EndAsync(second, job.Id)).Attempt.ShouldBe(1);
    }

    /// <summary>No broker between them: the database carries the cancel, and the end back to who asked.</summary>
    [Fact]
    public async Task Cancel_ByAnotherProcess_ReachesTheOneThatRunsTheJob()
    {
        var options = await OptionsAsync();
        var (started, cancelled) = (new TaskCompletionSource(), new TaskCompletionSource());
        var endless = new TestTask(async (_, _, token) =>
        {
            using var seen = token.Register(cancelled.SetResult);
            started.SetResult();
            await Task.Delay(Timeout.Infinite, token);
            return TestTask.Done();
        });
        // Whoever waits for the heartbeat to hear of it waits for minutes.
        await using var runs = await JobsHost.StartAsync(options with { Worker = options.Worker with { Lease = TimeSpan.FromMinutes(30) } }, new() { ["m"] = endless });
        await using var asks = await JobsHost.StartAsync(options, [], worker: false);
        foreach (var host in new[] { runs, asks })
        {
            await Wait.UntilAsync(() => host.Get<Myelin.Hosting.Bus.Postgres.PostgresBus>().IsListening);
        }

        var job = await asks.SubmitAsync("m");
        await started.Task.WaitAsync(TimeSpan.FromMinutes(1), Token); // a cancel before it begins lets it not begin
        var ended = asks.Jobs.WaitAsync(job.Id, TimeSpan.FromMinutes(1), Token);
        await asks.Jobs.CancelAsync(job.Id, Token);

        await cancelled.Task.WaitAsync(TimeSpan.FromMinutes(1), Token);
        (await ended)!.State.ShouldBe(JobState.Cancelled);
    }

    [Fact]
    public async Task Coordinator_OfSeveral_IsFollowedWhenItStops()
    {
        var options = await OptionsAsync();
        var first = await JobsHost.StartAsync(options, [], worker: false);
        await Wait.UntilAsync(() => first.Get<PostgresJobStore>().Coordinator.Fence == 1);
        await using var second = await JobsHost.StartAsync(options, [], worker: false);
        var job = await second.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Deadline = TimeProvider.System.GetUtcNow().AddSeconds(3) });

        await first.DisposeAsync();

        (await EndAsync(second, job.Id)).State.ShouldBe(JobState.Expired);
        second.Get<PostgresJobStore>().Coordinator.Fence.ShouldBe(2);
    }

    /// <summary>The worker's clock is its process's, which is the database's.</summary>
    [Fact]
    public async Task Time_OfTheWholeProcess_IsTheDatabases()
    {
        await using var host = await JobsHost.StartAsync(await OptionsAsync(), [], worker: false);

        host.Get<TimeProvider>().ShouldBeOfType<SharedClock>();
        host.Get<IJobStore>().ShouldBeOfType<PostgresJobStore>();
        host.Get<IWebhookStore>().ShouldBeOfType<PostgresJobStore>();
    }

    [Fact]
    public async Task Keys_MadeByTheCommand_AreKnownToEveryProcess()
    {
        var options = await OptionsAsync();
        using var output = new StringWriter();
        using var errors = new StringWriter();
        var command = new KeysCommand(output, errors, TimeProvider.System);
        (await command.ExecuteAsync(["create", "--name", "first", "--scopes", "admin"], options)).ShouldBe(0, errors.ToString());
        var text = output.ToString().Trim();
        ApiKeyText.TryParse(text, out var idText, out _).ShouldBeTrue();
        var id = idText.ToString();

        await using var host = await JobsHost.StartAsync(options, [], worker: false);
        var keys = new PostgresKeyStore(host.Get<PostgresPool>());
        var found = (await keys.FindAsync(id, Token)).ShouldNotBeNull();
        (found.Name, found.Tenant, found.Scopes, found.Revoked, found.Hash.Length).ShouldBe(("first", Caller.LocalTenant, Scopes.Admin, null, 32));
        (await keys.AnyAsync(Token)).ShouldBeTrue();
        var used = TimeProvider.System.GetUtcNow();
        await keys.TouchAsync(id, used, Token);
        (await keys.FindAsync(id, Token))!.LastUsed.ShouldNotBeNull().ShouldBe(used, TimeSpan.FromMilliseconds(1));

        (await command.ExecuteAsync(["revoke", text], options)).ShouldBe(0, errors.ToString());

        (await keys.ListAsync(Token)).ShouldHaveSingleItem().Revoked.ShouldNotBeNull();
        (await keys.AnyAsync(Token)).ShouldBeFalse();
        (await keys.RevokeAsync("unknown", used, Token)).ShouldBeFalse();
        File.Exists(Path.Combine(options.Data, "myelin.db")).ShouldBeFalse("the keys live where the jobs live");
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>By looking: a process hears of ends elsewhere only when it reads the row.</summary>
    private static async Task<JobRecord> EndAsync(JobsHost host, string id)
    {
        JobRecord? job = null;
        await Wait.UntilAsync(async () => (job = await host.Jobs.GetAsync(id, Token))!.State.IsEnd());
        return job!;
    }

    private async Task<MyelinOptions> OptionsAsync()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        return JobsHost.Options(_folder) with { Storage = new StorageOptions { Connection = database.Connection, CoordinatorLease = TimeSpan.FromSeconds(2) } };
    }
}
