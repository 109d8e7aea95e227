using System.Diagnostics.Metrics;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Telemetry;
using Myelin.Jobs;
using Myelin.Jobs.Attempts;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Testing;
using Myelin.Tests.Storage;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

public sealed class HeartbeatTests : IDisposable
{
    private static readonly RecoveryPolicy s_policy = new() { MaxAttempts = 3, AllLeases = true };

    private readonly TemporaryFolder _folder = new();
    private readonly ManualTime _time = new();
    private readonly RunningJobs _running = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>The answer about attempt A is on its way while the same worker takes the job again: B goes on.</summary>
    [Fact]
    public async Task Beat_AnswerAboutAnEarlierAttempt_LeavesTheLaterOneAlone()
    {
        await using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var meters = services.GetRequiredService<IMeterFactory>();
        using var instruments = new JobInstruments(meters, new InferenceInstruments(meters));
        var bus = new EmbeddedBus(NullLogger<EmbeddedBus>.Instance);
        await using var store = SqliteJobStore.Open(_folder.Path, _time, TimeSpan.FromHours(1), _ => { });
        var job = new JobRecord { Id = "01job", Tenant = "t", Model = "m", CreatedAt = _time.GetUtcNow() };
        await store.InsertAsync(job, [], 10, Token);
        var first = await ClaimAsync(store, "a");
        await store.RecoverAsync(_time.GetUtcNow(), s_policy, 10, Token);
        var slow = SlowAnswers.Of(store);
        var heartbeat = new Heartbeat(slow.Store, _running, bus, instruments, new MyelinOptions(), _time, NullLogger<Heartbeat>.Instance);

        var beat = heartbeat.BeatAsync(Token);
        await slow.Answered.WaitAsync(Token);
        _running.Remove(first);
        var second = await ClaimAsync(store, "b");
        slow.Let.SetResult();
        await beat;

        second.Reason.ShouldBe(StopReason.None);
        second.Stopping.IsCancellationRequested.ShouldBeFalse();
    }

    [Fact]
    public async Task Loop_NetworkFaultInABeat_BeatsOn()
    {
        await using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var meters = services.GetRequiredService<IMeterFactory>();
        using var instruments = new JobInstruments(meters, new InferenceInstruments(meters));
        var bus = new EmbeddedBus(NullLogger<EmbeddedBus>.Instance);
        await using var store = SqliteJobStore.Open(_folder.Path, _time, TimeSpan.FromHours(1), _ => { });
        await store.InsertAsync(new JobRecord { Id = "01job", Tenant = "t", Model = "m", CreatedAt = _time.GetUtcNow() }, [], 10, Token);
        await ClaimAsync(store, "a");
        var before = (await store.LeasesAsync(1, Token)).Single().Until;
        using var heartbeat = new Heartbeat(FaultsOnce.Of<IJobStore>(store, nameof(IJobStore.HeartbeatAsync)), _running, bus, instruments, new MyelinOptions(), _time, NullLogger<Heartbeat>.Instance);
        await heartbeat.StartAsync(Token);

        await Wait.UntilAsync(async () =>
        {
            _time.Advance(TimeSpan.FromSeconds(5));
            return (await store.LeasesAsync(1, Token)).Single().Until > before;
        });

        heartbeat.ExecuteTask!.IsCompleted.ShouldBeFalse();
        await heartbeat.StopAsync(Token);
    }

    public void Dispose() => _folder.Dispose();

    private async Task<RunningJob> ClaimAsync(IJobStore store, string token)
    {
        var claim = await store.ClaimAsync("01job", new JobLease("w", token, _time.GetUtcNow().AddSeconds(15)), _time.GetUtcNow(), Token);
        claim.Status.ShouldBe(ClaimStatus.Claimed);
        var running = new RunningJob("01job", token, _time) { Record = claim.Job };
        _running.TryAdd(running).ShouldBeTrue();
        return running;
    }

    /// <summary>A store whose answers to heartbeats are true and late.</summary>
#pragma warning disable CA1852 // the proxy's type is derived from it at run time
    private class SlowAnswers : DispatchProxy
#pragma warning restore CA1852
    {
        private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private IJobStore _inner = null!;

        public IJobStore Store => (IJobStore)(object)this;

        public Task Answered => _answered.Task;

        public TaskCompletionSource Let { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public static SlowAnswers Of(IJobStore inner)
        {
            var slow = (SlowAnswers)(object)Create<IJobStore, SlowAnswers>();
            slow._inner = inner;
            return slow;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            var answer = targetMethod!.Invoke(_inner, args);
            return answer is ValueTask<HeartbeatResult> beat ? new ValueTask<HeartbeatResult>(LateAsync(beat)) : answer;
        }

        private async Task<HeartbeatResult> LateAsync(ValueTask<HeartbeatResult> beat)
        {
            var result = await beat;
            _answered.SetResult();
            await Let.Task;
            return result;
        }
    }
}
