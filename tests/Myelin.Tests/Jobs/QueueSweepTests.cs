using System.Diagnostics.Metrics;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Telemetry;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Jobs.Upkeep;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

/// <summary>On a real database and a clock of the test's; what is announced is written down instead of sent.</summary>
public sealed class QueueSweepTests : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ManualTime _time = new();
    private readonly AnnouncedBus _bus = new();
    private readonly SqliteJobStore _store;
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly QueueSweep _sweep;
    private readonly JobIds _ids;

    public QueueSweepTests()
    {
        _store = SqliteJobStore.Open(_folder.Path, _time, TimeSpan.FromHours(1), _ => { });
        _ids = new JobIds(_time);
        _sweep = Sweep(connection: "");
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Run_JobThatNobodyStarts_IsAnnouncedAtGrowingAges()
    {
        var job = await InsertAsync();
        var ages = new List<int>();
        for (var second = 0; second <= 260; second++)
        {
            if (await _sweep.RunAsync(Token) > 0)
            {
                ages.Add(second);
            }

            _time.Advance(TimeSpan.FromSeconds(1));
        }

        ages.ShouldBe([10, 20, 40, 80, 160, 240]);
        _bus.Announced.ShouldAllBe(id => id == job.Id);
    }

    /// <summary>NOTIFY keeps nothing: a hint that nobody heard is announced again too. Inside one process none is lost.</summary>
    [Theory]
    [InlineData("Host=db", 6)]
    [InlineData("", 0)]
    public async Task Run_BusThatKeepsNothing_AnnouncesWhereThereAreOtherProcesses(string connection, int times)
    {
        _bus.Retains = false;
        var sweep = Sweep(connection);
        await InsertAsync();
        var announced = 0;
        for (var second = 0; second <= 260; second++)
        {
            announced += await sweep.RunAsync(Token);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        announced.ShouldBe(times);
    }

    [Fact]
    public async Task Run_YoungRunningOrDelayedJobs_AreLeftAlone()
    {
        await _sweep.RunAsync(Token);
        var running = await InsertAsync();
        await _store.ClaimAsync(running.Id, new JobLease("w", "token", _time.GetUtcNow().AddHours(1)), _time.GetUtcNow(), Token);
        var failed = await InsertAsync();
        await _store.ClaimAsync(failed.Id, new JobLease("w", "other", _time.GetUtcNow().AddHours(1)), _time.GetUtcNow(), Token);
        await _store.ApplyAsync(failed.Id, "other", new JobOutcome(JobState.Queued) { RetryAt = _time.GetUtcNow().AddSeconds(30), CountsAsFailure = true }, _time.GetUtcNow(), Token);
        _time.Advance(TimeSpan.FromSeconds(15));
        await InsertAsync();

        (await _sweep.RunAsync(Token)).ShouldBe(0);

        _time.Advance(TimeSpan.FromSeconds(26));
        await _sweep.RunAsync(Token);
        _bus.Announced.ShouldContain(failed.Id, "its back-off ended 11 s ago");
        _bus.Announced.ShouldNotContain(running.Id);
    }

    private QueueSweep Sweep(string connection)
    {
        var meters = _services.GetRequiredService<IMeterFactory>();
        var options = new MyelinOptions { Jobs = new JobsOptions { AnnounceAfter = TimeSpan.FromSeconds(10) }, Storage = new StorageOptions { Connection = connection } };
        return new QueueSweep(_store, _bus, new JobInstruments(meters, new InferenceInstruments(meters)), options, _time, NullLogger<QueueSweep>.Instance);
    }

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _services.DisposeAsync();
        _folder.Dispose();
    }

    private async Task<JobRecord> InsertAsync() =>
        (await _store.InsertAsync(new JobRecord { Id = _ids.Next(), Tenant = "t", Model = "m", CreatedAt = _time.GetUtcNow() }, [], 100, Token)).Job!;

    private sealed class AnnouncedBus : IBus
    {
        public List<string> Announced { get; } = [];

        public bool Retains { get; set; } = true;

        public ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken)
        {
            topic.ShouldBe("myelin.jobs.m.normal");
            Announced.Add(JsonSerializer.Deserialize(message.Payload.Span, JobsJson.Default.JobHint)!.Id);
            return ValueTask.CompletedTask;
        }

        public ValueTask<Delivery> DeliverAsync(string topic, BusMessage message, CancellationToken cancellationToken) => throw new NotSupportedException();

        public void Prepare(string topic) => throw new NotSupportedException();

        public IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken) => throw new NotSupportedException();

        public ValueTask RejectAsync(BusMessage message, string reason, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
