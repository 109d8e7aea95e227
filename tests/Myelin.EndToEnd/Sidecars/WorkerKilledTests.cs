using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>The server dies by SIGKILL: no handler runs. What it had started must not outlive it for long.</summary>
public sealed class WorkerKilledTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Worker_KilledInMidJob_LeavesNoProcessSocketOrRingAndTheJobRunsAgain()
    {
        await using var server = await SidecarServer.StartAsync(s => s.Write("uds", top: "instances: {count: 2}", environment: "CHILD: '1'"));
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);
        var submitted = await server.SubmitAsync("""{"steps": 100}""");
        await Wait.UntilAsync(async () => (await server.Client.GetAsync(submitted.Id, Token)).Progress is { Step: >= 3 }, "the job is in the middle");
        var (worker, run) = (server.Server.Id, Path.Combine(server.Server.Data, "run"));
        Processes.With(run).Count.ShouldBeGreaterThanOrEqualTo(4, "two sidecars with a child each");
        Directory.GetFiles(run, "s", SearchOption.AllDirectories).Length.ShouldBe(2, "a socket each");

        await server.Server.KillAsync();

        await Wait.UntilAsync(() => Processes.With(run).Count == 0, "sidecars and their children have ended, with nobody to start them again");
        await Wait.UntilAsync(() => Directory.GetDirectories(run).Length == 0, "sockets and notes are gone");
        Directory.GetFiles("/dev/shm", $"myelin-ring-{worker}-*").ShouldBeEmpty();

        await server.Server.StartAsync(Token);
        var job = await server.Client.WaitAsync(submitted.Id, Token);
        job.State.ShouldBe(JobState.Succeeded, job.Error?.Detail);
        job.Attempt.ShouldBe(2);
    }

    [Fact]
    public async Task Worker_KilledWithItsWatchdog_TheNextOneClearsAway()
    {
        await using var server = await SidecarServer.StartAsync(s => s.Write("uds", environment: "CHILD: '1'"));
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);
        var run = Path.Combine(server.Server.Data, "run");
        var child = Processes.With(run).Single(pid => Processes.CommandLine(pid).StartsWith("sleep", StringComparison.Ordinal));
        var ring = $"/dev/shm/myelin-ring-{server.Server.Id}-0123456789abcdef";
        await File.WriteAllTextAsync(ring, "as one would be that died between making it and greeting", Token);

        Processes.Called($"myelin-watchdog {run}").ShouldHaveSingleItem();
        Processes.Kill(Processes.Called($"myelin-watchdog {run}")[0]);
        await server.Server.KillAsync();
        Processes.IsAlive(child).ShouldBeTrue("nobody is left who would end it");
        Directory.GetDirectories(run).Length.ShouldBe(1);

        await server.Server.StartAsync(Token);
        await Wait.UntilAsync(() => !Processes.IsAlive(child), "the next worker has ended it");
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);
        Directory.GetDirectories(run).Length.ShouldBe(1, "the living worker's own");
        File.Exists(ring).ShouldBeFalse("swept when the next ring is made");
        server.Server.Log.ShouldContain("that a dead worker left");
    }
}
