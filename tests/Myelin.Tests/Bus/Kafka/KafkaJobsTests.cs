using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus.Kafka;

/// <summary>The server's own services for jobs with Kafka between accepting and running.</summary>
public sealed class KafkaJobsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Jobs_OverKafka_RunOnceInOrderOfTheirKeysAndAreWatched()
    {
        var runs = new ConcurrentQueue<(string Key, int Number)>();
        await using var host = await StartAsync(await KafkaBroker.SharedAsync(), Recording(runs));
        var jobs = new List<JobRecord>();
        for (var i = 0; i < 60; i++)
        {
            jobs.Add(await host.SubmitAsync(Submission($"k{i % 6}", i) with { Priority = (JobPriority)(i % 6 % 3) }));
        }

        foreach (var job in jobs)
        {
            (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);
        }

        runs.Count.ShouldBe(60);
        foreach (var key in runs.GroupBy(r => r.Key))
        {
            key.Select(r => r.Number).ShouldBeInOrder();
        }
    }

    [Fact]
    public async Task Priority_LowHeapFillsTheWindow_HighStartsNext()
    {
        var gate = new SemaphoreSlim(0);
        var started = new ConcurrentQueue<string>();
        var slow = new TestTask(async (input, _, token) =>
        {
            started.Enqueue(input.Parameters.GetProperty("key").GetString()!);
            await gate.WaitAsync(token);
            return TestTask.Done();
        });
        await using var host = await StartAsync(await KafkaBroker.SharedAsync(), slow, o => o with
        {
            Worker = o.Worker with { Concurrency = 1 },
            Bus = new BusOptions { Kafka = o.Bus.Kafka with { Window = 5 } },
        });

        // One runs, and it is of a class of its own: its late hint may still come. One waits, so that the worker knows of work and does not look into storage.
        await host.SubmitAsync(Submission(null, 0, "first"));
        await Wait.UntilAsync(() => started.Count == 1);
        var queue = host.Get<Myelin.Jobs.Dispatch.JobQueue>();
        await host.SubmitAsync(Submission(null, 1, "second") with { Priority = JobPriority.High });
        await Wait.UntilAsync(() => Waiting(JobPriority.High, 1));
        for (var i = 0; i < 40; i++)
        {
            await host.SubmitAsync(Submission(null, i, "low") with { Priority = JobPriority.Low });
        }

        // Five of them wait in memory, the others on the bus.
        await Wait.UntilAsync(() => Waiting(JobPriority.Low, 5), state: () => $"{queue.Count} wait");
        var high = await host.SubmitAsync(Submission(null, 99, "high") with { Priority = JobPriority.High });
        await Wait.UntilAsync(() => Waiting(JobPriority.High, 2), state: () => $"{queue.Count} wait");
        queue.Count.ShouldBeLessThan(20, "the low ones wait on the bus");
        gate.Release(3);
        (await host.EndAsync(high.Id)).State.ShouldBe(JobState.Succeeded);

        started.Take(3).ShouldBe(["first", "second", "high"]);
        gate.Release(100);

        bool Waiting(JobPriority priority, int count) => !queue.RoomAsync(priority, count, Token).AsTask().IsCompleted;
    }

    /// <summary>Both classes wait in their topics; starts are shared by weight, so low is neither first nor starved.</summary>
    [Fact]
    public async Task Weights_BothClassesWait_LowGetsItsShareOfStarts()
    {
        var gate = new SemaphoreSlim(0);
        var started = new ConcurrentQueue<string>();
        var held = new TestTask(async (input, _, token) =>
        {
            started.Enqueue(input.Parameters.GetProperty("key").GetString()!);
            await gate.WaitAsync(token);
            return TestTask.Done();
        });
        await using var host = await StartAsync(await KafkaBroker.SharedAsync(), held, o => o with { Worker = o.Worker with { Concurrency = 1 } });
        var jobs = new List<JobRecord> { await host.SubmitAsync(Submission(null, 0, "first")) };
        await Wait.UntilAsync(() => started.Count == 1);
        for (var i = 0; i < 40; i++)
        {
            jobs.Add(await host.SubmitAsync(Submission(null, i, "low") with { Priority = JobPriority.Low }));
            jobs.Add(await host.SubmitAsync(Submission(null, i, "high") with { Priority = JobPriority.High }));
        }

        var queue = host.Get<Myelin.Jobs.Dispatch.JobQueue>();
        await Wait.UntilAsync(() => queue.Count >= 80, state: () => $"{queue.Count} wait");
        gate.Release(100);
        foreach (var job in jobs)
        {
            (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);
        }

        // 8 to 1: of the first 27 after the one that held the worker, three are low.
        started.Skip(1).Take(27).Count(s => s == "low").ShouldBeInRange(2, 4);
    }

    /// <summary>One trace from the submission over the hint in Kafka to the run in a worker.</summary>
    [Fact]
    public async Task Trace_OfTheSubmission_TravelsInHeadersToTheRun()
    {
        var runs = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name is "Myelin" or "test",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                if (activity.OperationName == "job run")
                {
                    runs.Enqueue(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        using var source = new ActivitySource("test");
        await using var host = await StartAsync(await KafkaBroker.SharedAsync(), Recording([]));
        using var stop = new CancellationTokenSource();
        var hints = host.Get<IBus>().SubscribeAsync(Topics.Jobs("m", JobPriority.Normal), "onlookers", stop.Token).GetAsyncEnumerator(stop.Token);
        JobRecord job;
        string trace;
        using (var activity = source.StartActivity("client")!)
        {
            trace = activity.TraceId.ToString();
            job = await host.SubmitAsync(Submission(null, 1, "k") with { TraceParent = activity.Id });
        }

        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);

        await hints.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);
        ActivityContext.Parse(hints.Current.Headers!["traceparent"], null).TraceId.ToString().ShouldBe(trace);
        await Wait.UntilAsync(() => runs.Any(r => r.TraceId.ToString() == trace));
        await stop.CancelAsync();
    }

    [Fact]
    public async Task Poison_UnreadableHint_IsPutAsideAndTheNextOneRuns()
    {
        await using var host = await StartAsync(await KafkaBroker.SharedAsync(), Recording([]));
        var bus = host.Get<IBus>();
        using var stop = new CancellationTokenSource();
        var aside = bus.SubscribeAsync(Topics.DeadLetters, "test", stop.Token).GetAsyncEnumerator(stop.Token);
        foreach (var poison in new[] { "no json", "null", """{"id":"x"}""", "", Hint("\"normal, low\""), Hint("3"), Hint("\"urgent\"") })
        {
            await bus.PublishAsync(Topics.Jobs("m", JobPriority.Normal), new BusMessage("", "k", Encoding.UTF8.GetBytes(poison)), Token);
            await bus.PublishAsync(Topics.Control, new BusMessage("", "k", Encoding.UTF8.GetBytes(poison)), Token);
            await bus.PublishAsync(Topics.Control, new BusMessage("", "k", Encoding.UTF8.GetBytes($$"""{"look":{{(poison.Length == 0 ? "7" : poison)}}}""")), Token);
            await bus.PublishAsync(Topics.Events, new BusMessage("", "k", Encoding.UTF8.GetBytes(poison)), Token);
        }

        var job = await host.SubmitAsync("m", """{"key":"a","number":1}""");
        (await host.EndAsync(job.Id)).State.ShouldBe(JobState.Succeeded);

        var hints = 0;
        while (hints < 7)
        {
            await aside.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90), Token);
            aside.Current.Headers!["reason"].ShouldStartWith("unusable");
            hints += aside.Current.Headers["origin"].Contains(".m.normal/", StringComparison.Ordinal) ? 1 : 0;
        }

        await stop.CancelAsync();
    }

    private static string Hint(string priority) => $$"""{"id":"01HX0000000000000000000000","sequence":1,"model":"m","priority":{{priority}},"tenant":"t"}""";

    /// <summary>The broker is killed in the middle of load and comes back: accepting never waits, everything runs once.</summary>
    [Fact]
    public async Task BrokerAway_InTheMiddleOfLoad_AcceptingGoesOnAndEverythingRunsOnce()
    {
        await using var broker = await KafkaBroker.StartOwnAsync();
        var runs = new ConcurrentQueue<(string Key, int Number)>();
        await using var host = await StartAsync(broker, Recording(runs), o => o with
        {
            // Hints of the dark time are dropped, so that what finds the rows again is seen to work.
            Bus = new BusOptions { Kafka = o.Bus.Kafka with { BufferTime = TimeSpan.FromSeconds(1), BufferMessages = 50 } },
            Jobs = o.Jobs with { AnnounceAfter = TimeSpan.FromSeconds(2), QueueLimit = 10_000 },
        });
        var jobs = new ConcurrentQueue<JobRecord>();
        var longest = TimeSpan.Zero;
        using var enough = new CancellationTokenSource();
        var load = Task.Run(
            async () =>
            {
                for (var i = 0; !enough.IsCancellationRequested; i++)
                {
                    var clock = Stopwatch.StartNew();
                    jobs.Enqueue(await host.SubmitAsync(Submission($"k{i % 10}", i)));
                    longest = clock.Elapsed > longest ? clock.Elapsed : longest;
                    await Task.Delay(5, CancellationToken.None);
                }
            },
            Token);
        await Wait.UntilAsync(() => runs.Count > 20);
        await broker.KillAsync();
        var before = jobs.Count;
        await Wait.UntilAsync(() => jobs.Count > before + 300);
        await broker.StartAsync();
        before = runs.Count;
        await Wait.UntilAsync(() => runs.Count > before + 50);
        await enough.CancelAsync();
        await load;

        foreach (var job in jobs)
        {
            var ended = await host.EndAsync(job.Id);
            ended.State.ShouldBe(JobState.Succeeded);
            ended.Attempt.ShouldBe(1);
        }

        runs.Count.ShouldBe(jobs.Count);
        foreach (var key in runs.GroupBy(r => r.Key))
        {
            key.Select(r => r.Number).ShouldBeInOrder();
        }

        longest.ShouldBeLessThan(TimeSpan.FromSeconds(5), "accepting waited for the broker");
    }

    public void Dispose() => _folder.Dispose();

    private static JobSubmission Submission(string? key, int number, string? name = null) => new()
    {
        Tenant = "t",
        Model = "m",
        Key = key,
        Parameters = Encoding.UTF8.GetBytes($$"""{"key":"{{name ?? key}}","number":{{number}}}"""),
    };

    private static TestTask Recording(ConcurrentQueue<(string Key, int Number)> runs) => new((input, _, _) =>
    {
        runs.Enqueue((input.Parameters.GetProperty("key").GetString()!, input.Parameters.GetProperty("number").GetInt32()));
        return Task.FromResult(TestTask.Done());
    });

    private Task<JobsHost> StartAsync(KafkaBroker broker, ITask task, Func<MyelinOptions, MyelinOptions>? configure = null)
    {
        var options = JobsHost.Options(_folder) with { Bus = new BusOptions { Kafka = KafkaHost.Options(broker) } };
        return JobsHost.StartAsync(configure?.Invoke(options) ?? options, new() { ["m"] = task });
    }
}
