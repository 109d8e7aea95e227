using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Telemetry;
using Myelin.Jobs;
using Myelin.Jobs.Attempts;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Jobs.Upkeep;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

/// <summary>The heartbeat of a worker and the coordinator that judges it, on a real database and a clock of the test's.</summary>
public sealed class LeaseRecoveryTests : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ManualTime _time = new();
    private readonly RunningJobs _running = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly SqliteJobStore _store;
    private readonly Heartbeat _heartbeat;
    private readonly LeaseRecovery _recovery;

    public LeaseRecoveryTests()
    {
        _store = SqliteJobStore.Open(_folder.Path, _time, TimeSpan.FromHours(1), _ => { });
        var bus = new EmbeddedBus(NullLogger<EmbeddedBus>.Instance);
        var meters = _services.GetRequiredService<IMeterFactory>();
        var instruments = new JobInstruments(meters, new InferenceInstruments(meters));
        var options = new MyelinOptions();
        _heartbeat = new Heartbeat(_store, _running, bus, instruments, options, _time, NullLogger<Heartbeat>.Instance);
        _recovery = new LeaseRecovery(_store, new JobAnnouncer(bus, instruments), instruments, options, _time, NullLogger<LeaseRecovery>.Instance);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>The clock of a machine is set by an hour while a job runs; then its worker dies, and that is noticed within a lease.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task Clock_JumpsAnHourWhileAJobRuns_LeavesItInItsFirstAttempt(int hours)
    {
        await RunAsync();
        await SecondsAsync(20);
        _time.Jump(TimeSpan.FromHours(hours));
        await SecondsAsync(40);
        await AttemptAsync(JobState.Running, 1, 0);

        await SecondsAsync(17, beats: false);
        await AttemptAsync(JobState.Queued, 1, 1);
    }

    /// <summary>All of the process stands still, three times for longer than its lease; the coordinator is the first to move again.</summary>
    [Fact]
    public async Task Process_PausedThreeTimesPastItsLease_KeepsItsAttempt()
    {
        await RunAsync();
        for (var pause = 0; pause < 3; pause++)
        {
            await SecondsAsync(7);
            _time.Advance(TimeSpan.FromSeconds(20));
        }

        await SecondsAsync(30);
        await AttemptAsync(JobState.Running, 1, 0);
    }

    /// <summary>The worker alone stands still, so that its job is taken from it; it is back before anybody has it.</summary>
    [Fact]
    public async Task Worker_BackBeforeItsJobIsTaken_GoesOnInItsFirstAttempt()
    {
        var running = await RunAsync();
        for (var pause = 0; pause < 3; pause++)
        {
            await SecondsAsync(20, beats: false);
            await AttemptAsync(JobState.Queued, 1, 1);
            await _heartbeat.BeatAsync(Token);
            await AttemptAsync(JobState.Running, 1, 0);
            running.Reason.ShouldBe(StopReason.None);
        }
    }

    /// <summary>Somebody else has the job by then: the late one stops, and its pause is not held against the job.</summary>
    [Fact]
    public async Task Worker_BackAfterItsJobWasTaken_StopsAndCostsTheJobNothing()
    {
        var running = await RunAsync();
        await SecondsAsync(20, beats: false);
        (await _store.ClaimAsync("01job", new JobLease("other", "b", _time.GetUtcNow().AddSeconds(15)), _time.GetUtcNow(), Token)).Status.ShouldBe(ClaimStatus.Claimed);

        await _heartbeat.BeatAsync(Token);

        running.Reason.ShouldBe(StopReason.LeaseLost);
        await AttemptAsync(JobState.Running, 2, 0);
    }

    public async ValueTask DisposeAsync()
    {
        _heartbeat.Dispose();
        await _store.DisposeAsync();
        await _services.DisposeAsync();
        _folder.Dispose();
    }

    private async Task<RunningJob> RunAsync()
    {
        await _store.InsertAsync(new JobRecord { Id = "01job", Tenant = "t", Model = "m", CreatedAt = _time.GetUtcNow() }, [], 10, Token);
        var claim = await _store.ClaimAsync("01job", new JobLease("w", "a", _time.GetUtcNow().AddSeconds(15)), _time.GetUtcNow(), Token);
        var running = new RunningJob("01job", "a", _time) { Record = claim.Job };
        _running.TryAdd(running).ShouldBeTrue();
        return running;
    }

    /// <summary>As the loops do it: a look every second, a beat every fifth.</summary>
    private async Task SecondsAsync(int count, bool beats = true)
    {
        for (var second = 1; second <= count; second++)
        {
            await _recovery.RunAsync(Token);
            if (beats && second % 5 == 0)
            {
                await _heartbeat.BeatAsync(Token);
            }

            _time.Advance(TimeSpan.FromSeconds(1));
        }
    }

    private async Task AttemptAsync(JobState state, int attempt, int failures)
    {
        var job = (await _store.GetAsync("01job", Token))!;
        (job.State, job.Attempt, job.Failures).ShouldBe((state, attempt, failures));
    }
}
