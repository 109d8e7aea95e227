using System.Diagnostics;
using System.Net.Sockets;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Sidecars;

/// <summary>Where calls go, and what becomes of them when their sidecar crashes, hangs or goes.</summary>
public sealed class SidecarRuntimeTests
{
    private static readonly CancellationToken s_token = TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("uds")]
    [InlineData("http")]
    public async Task Infer_CrashInMidCall_IsRetriedOnceOnAFreshProcess(string transport)
    {
        await using var models = new SidecarModels();
        var definition = models.Write(sidecar: $"transport: {transport}");
        await using var runtime = await models.RunAsync(definition);
        var before = await SidecarModels.CallAsync(runtime, "pid");

        var after = await SidecarModels.CallAsync(runtime, "crashonce", 1);

        after.ShouldNotBe(before);
        SidecarModels.IsAlive(before).ShouldBeFalse();
        var status = models.Supervisor.Find(definition)!;
        (status.Counters.Retried, status.Counters.Restarts, status.Counters.Succeeded, status.Counters.Failed).ShouldBe((1, 1, 2, 0));
    }

    [Fact]
    public async Task Infer_CrashWithInputsInTheRing_GivesTheNextProcessTheSameBytes()
    {
        await using var models = new SidecarModels();
        await using var runtime = await models.RunAsync(models.Write());
        using var mark = SidecarModels.Number("crashonce", 2);
        using var big = runtime.Rent("big", ElementType.UInt8, 1 << 20);
        big.Bytes.Span.Fill(3);

        // The mark comes first: the first process dies, the second gets as far as `pid` and never looks at `big`.
        using (await runtime.InferAsync([mark, big], s_token))
        {
        }

        using var outputs = await runtime.InferAsync([big], s_token);
        outputs["sum"].As<long>()[0].ShouldBe(16 * 3);
    }

    [Fact]
    public async Task Infer_InputThatKillsEveryProcess_FailsWithTheReasonAndIsNotRepeated()
    {
        await using var models = new SidecarModels();
        var definition = models.Write();
        await using var runtime = await models.RunAsync(definition);

        var fault = await Should.ThrowAsync<RuntimeException>(() => SidecarModels.CallAsync(runtime, "crash"));

        fault.Retryable.ShouldBeFalse();
        fault.Message.ShouldContain("ended twice during this call");
        fault.Message.ShouldContain("exit code 7");
        fault.Message.ShouldNotContain("crashing now", Case.Sensitive, "what it wrote may hold other people's inputs");
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBeGreaterThan(1);
        models.Supervisor.Find(definition)!.Counters.Restarts.ShouldBe(2);
    }

    [Fact]
    public async Task Infer_CrashesInTheWindow_BreakTheModelUntilItIsLoadedAgain()
    {
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", MaxCrashes = 3 });
        var definition = models.Write();
        var source = await models.OpenAsync(definition);
        await using var runtime = await source.OpenAsync("model.onnx", s_token);
        await Should.ThrowAsync<RuntimeException>(() => SidecarModels.CallAsync(runtime, "crash"));

        var fault = await Should.ThrowAsync<RuntimeException>(() => SidecarModels.CallAsync(runtime, "crash"));

        fault.Retryable.ShouldBeFalse();
        models.Supervisor.Find(definition)!.State.ShouldBe(SidecarState.Broken);
        ((IRuntimeHealth)source).Broken.Single().Message.ShouldContain("given up after 3 failures");
        await source.DisposeAsync();
        await using var again = await models.OpenAsync(definition);
        ((IRuntimeHealth)again).Broken.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("uds")]
    [InlineData("http")]
    public async Task Infer_HangBeyondTheDeadline_IsNamedAndTheProcessReplaced(string transport)
    {
        await using var models = new SidecarModels();
        models.Options = models.Options with { HealthInterval = TimeSpan.FromMilliseconds(200), HealthTimeout = TimeSpan.FromSeconds(5) };
        var definition = models.Write(sidecar: $"transport: {transport}\ncallTimeout: 5s");
        await using var runtime = await models.RunAsync(definition);
        var before = await SidecarModels.CallAsync(runtime, "pid");

        // Stopped as by a debugger: neither call nor ping is answered any more.
        var fault = await Should.ThrowAsync<RuntimeException>(() => SidecarModels.CallAsync(runtime, "stop"));

        fault.Message.ShouldNotBeEmpty();
        await Wait.UntilAsync(() => !SidecarModels.IsAlive(before), "the hung process is killed");
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldNotBe(before);
    }

    [Theory]
    [InlineData("uds")]
    [InlineData("http")]
    public async Task Infer_ModelThatNeverReturns_GetsADeadlineErrorAndAFreshProcess(string transport)
    {
        await using var models = new SidecarModels();
        await using var runtime = await models.RunAsync(models.Write(sidecar: $"transport: {transport}\ncallTimeout: 5s"));
        var before = await SidecarModels.CallAsync(runtime, "pid");

        var fault = await Should.ThrowAsync<RuntimeException>(() => SidecarModels.CallAsync(runtime, "hang"));

        fault.Code.ShouldBe("deadline");
        fault.Retryable.ShouldBeFalse();
        await Wait.UntilAsync(() => !SidecarModels.IsAlive(before), "the hung process is killed");
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldNotBe(before);
    }

    [Fact]
    public async Task Infer_Cancelled_StopsTheCallAndCountsIt()
    {
        await using var models = new SidecarModels();
        var definition = models.Write();
        await using var runtime = await models.RunAsync(definition);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(s_token);

        var call = SidecarModels.CallAsync(runtime, "sleep", 60_000, cancel.Token);
        await Wait.UntilAsync(() => models.Supervisor.Find(definition)!.Endpoints[0].Calls == 1, "the call runs");
        await cancel.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(call);
        var status = models.Supervisor.Find(definition)!;
        (status.Counters.Cancelled, status.Counters.Restarts).ShouldBe((1, 0));
    }

    [Fact]
    public async Task Infer_SeveralProcesses_ShareTheCallsAndOneDeathFailsNone()
    {
        await using var models = new SidecarModels();
        var definition = models.Write(top: "instances: {count: 3}");
        await using var runtime = await models.RunAsync(definition);
        var pids = await models.SpreadAsync(runtime, definition, 12);
        pids.Count.ShouldBe(3);

        var calls = Enumerable.Range(0, 30).Select(_ => SidecarModels.CallAsync(runtime, "sleep", 100)).ToList();
        Process.GetProcessById((int)pids[0]).Kill();

        (await Task.WhenAll(calls)).Length.ShouldBe(30);
        await Wait.UntilAsync(() => models.Supervisor.Find(definition)!.Endpoints.All(e => e.State == SidecarState.Ready), "all three are there again");
    }

    [Fact]
    public async Task Drain_SidecarToldToEndByOthers_FailsNoCallAndIsNoCrash()
    {
        await using var models = new SidecarModels();
        var definition = models.Write();
        await using var runtime = await models.RunAsync(definition);
        var pid = await SidecarModels.CallAsync(runtime, "pid");
        var (running, open) = await models.BeginAsync(runtime);

        Process.Start("kill", ["-TERM", pid.ToString()]).WaitForExit();
        var others = Enumerable.Range(0, 10).Select(_ => SidecarModels.CallAsync(runtime, "pid")).ToList();
        open();
        await Task.WhenAll(others); // none fails

        (await running).ShouldBe(pid);
        await Wait.UntilAsync(() => !SidecarModels.IsAlive(pid), "the old one has ended");
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldNotBe(pid);
        models.Log.ShouldNotContain(line => line.Contains("exit code", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("unix")]
    [InlineData("http+unix")]
    public async Task Remote_EndpointLostAndBack_IsLeftOutAndUsedAgain(string scheme)
    {
        await using var models = new SidecarModels();
        models.Options = models.Options with { HealthInterval = TimeSpan.FromMilliseconds(100) };
        await using var a = new OwnSidecar(models, $"{scheme}:{models.Root}/a.sock");
        await using var b = new OwnSidecar(models, $"{scheme}:{models.Root}/b.sock");
        a.Start();
        b.Start();
        var definition = models.Write() with
        {
            Sidecar = new ModelSidecar { Addresses = [a.Address, b.Address], StartTimeout = TimeSpan.FromMinutes(2) },
        };
        await using var runtime = await models.RunAsync(definition);
        (await models.SpreadAsync(runtime, definition, 8)).Order().ShouldBe(new long[] { a.Pid, b.Pid }.Order());

        var lost = a.Pid;
        a.Kill();
        (await models.SpreadAsync(runtime, definition, 8)).ShouldBe([b.Pid], "no call fails, none goes to the lost one");
        await Wait.UntilAsync(() => models.Supervisor.Find(definition)!.Endpoints[0].State == SidecarState.Restarting, "the lost one is seen as lost");
        models.Supervisor.Find(definition)!.State.ShouldBe(SidecarState.Ready);

        a.Start();
        await Wait.UntilAsync(() => models.Supervisor.Find(definition)!.Endpoints[0].State == SidecarState.Ready, "it is used again");
        var pids = await models.SpreadAsync(runtime, definition, 8);
        pids.ShouldContain(a.Pid);
        pids.ShouldNotContain(lost);
    }

    /// <summary>A fault that no one foresaw, such as a bare one of a socket, comes out of the round of health.</summary>
    [Fact]
    public async Task Remote_WatchFaultsByABareSocketException_ConnectsAnew()
    {
        var clock = new FaultyClock();
        await using var models = new SidecarModels { Time = clock };
        models.Options = models.Options with { HealthInterval = FaultyClock.Interval };
        await using var a = new OwnSidecar(models, $"http+unix:{models.Root}/a.sock");
        a.Start();
        var definition = models.Write() with { Sidecar = new ModelSidecar { Addresses = [a.Address], StartTimeout = TimeSpan.FromSeconds(20) } };
        await using var runtime = await models.RunAsync(definition);

        clock.Faults = 1;

        await Wait.UntilAsync(() => models.Log.Any(line => line.Contains("watching", StringComparison.Ordinal)), "it is told");
        await Wait.UntilAsync(() => models.Supervisor.Find(definition)!.Endpoints[0] is { State: SidecarState.Ready, Restarts: 1 }, "it is used again");
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBe(a.Pid);
    }

    /// <summary>Refuses the pause between two questions of health as a connection would.</summary>
    private sealed class FaultyClock : TimeProvider
    {
        /// <summary>Nothing else waits for as long.</summary>
        public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(137);

        private int _faults;

        public int Faults { set => Volatile.Write(ref _faults, value); }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            dueTime == Interval && Interlocked.Exchange(ref _faults, 0) > 0
                ? throw new SocketException((int)SocketError.TooManyOpenSockets)
                : base.CreateTimer(callback, state, dueTime, period);
    }

    [Fact]
    public async Task Remote_NobodyThere_IsTransientAndSaysWhere()
    {
        await using var models = new SidecarModels();
        var definition = models.Write() with
        {
            Sidecar = new ModelSidecar { Addresses = [OwnSidecar.Parse($"unix:{models.Root}/none.sock")], StartTimeout = TimeSpan.FromMilliseconds(300) },
        };

        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(definition));

        fault.Transient.ShouldBeTrue();
        fault.Message.ShouldContain("none.sock");
    }
}
