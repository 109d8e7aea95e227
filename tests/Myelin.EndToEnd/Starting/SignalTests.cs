using Myelin.EndToEnd.Distributed;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Starting;

/// <summary>The word to stop, as a terminal (SIGINT) and supervisors (SIGTERM) say it, in every role, idle and at work.</summary>
public sealed class SignalTests(ClusterFixture fixture) : IClassFixture<ClusterFixture>
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(2);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task All_Idle_EndsInOrder(string signal)
    {
        await using var server = Alone();
        await server.StartAsync(Token);

        await server.SignalAsync(signal);

        (await server.ExitAsync(s_limit)).ShouldBe(0, server.Log);
        server.Log.ShouldNotContain("stopped at once");
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task All_AtWork_FinishesTheFirstAttempt(string signal)
    {
        await using var server = Alone();
        await server.StartAsync(Token);
        var job = await RunningAsync(server, steps: 60);

        await server.SignalAsync(signal);

        (await server.ExitAsync(s_limit)).ShouldBe(0, server.Log);
        await server.StartAsync(Token);
        await EndedAtTheFirstAttemptAsync(server, job, server.Log);
    }

    [Fact]
    public async Task All_SecondInterruptAtWork_EndsAtOnce()
    {
        await using var server = Alone();
        await server.StartAsync(Token);
        var job = await RunningAsync(server, steps: 150);

        await server.SignalAsync("INT");
        await Wait.UntilAsync(() => server.Log.Contains("stopping:", StringComparison.Ordinal), state: () => server.Log);
        await server.SignalAsync("INT");

        (await server.ExitAsync(s_limit)).ShouldNotBe(0, server.Log);
        server.Log.ShouldContain("stopped at once");
        await server.StartAsync(Token);
        var again = await server.Client().WaitAsync(job, Token);
        again.State.ShouldBe(JobState.Succeeded, again.Error?.Detail);
        again.Attempt.ShouldBe(2, "it was not waited for");
    }

    [Fact]
    public async Task All_SecondTermAtWork_ChangesNothing()
    {
        await using var server = Alone();
        await server.StartAsync(Token);
        var job = await RunningAsync(server, steps: 60);

        await server.SignalAsync("TERM");
        await Wait.UntilAsync(() => server.Log.Contains("stopping:", StringComparison.Ordinal), state: () => server.Log);
        await server.SignalAsync("TERM");

        (await server.ExitAsync(s_limit)).ShouldBe(0, server.Log);
        await server.StartAsync(Token);
        await EndedAtTheFirstAttemptAsync(server, job, server.Log);
    }

    [Theory]
    [InlineData("gateway", "INT")]
    [InlineData("gateway", "TERM")]
    [InlineData("worker", "INT")]
    [InlineData("worker", "TERM")]
    [InlineData("coordinator", "INT")]
    [InlineData("coordinator", "TERM")]
    public async Task Role_IdleAndWhileAJobRuns_EndsInOrderAndTheJobAtItsFirstAttempt(string role, string signal)
    {
        var cluster = await fixture.StartAsync();
        await StopAsync(role == "gateway" ? cluster.Gateways[1] : role == "worker" ? cluster.Workers[1] : cluster.Coordinators[0], signal);

        var job = await RunningAsync(cluster.Gateways[0], steps: 60);
        var busy = role switch
        {
            "gateway" => cluster.Gateways[1],
            "worker" => (await cluster.RunnerAsync(job)).ShouldNotBeNull(cluster.Logs),
            _ => cluster.Coordinators[0],
        };
        await StopAsync(busy, signal);

        await EndedAtTheFirstAttemptAsync(cluster.Gateways[0], job, cluster.Logs);
    }

    [Fact]
    public async Task Worker_SecondInterrupt_EndsAtOnceAndTheJobGoesToAnother()
    {
        var cluster = await fixture.StartAsync();
        var job = await RunningAsync(cluster.Gateways[0], steps: 150);
        var worker = (await cluster.RunnerAsync(job)).ShouldNotBeNull(cluster.Logs);

        await worker.SignalAsync("INT");
        await Wait.UntilAsync(() => worker.Log.Contains("stopping:", StringComparison.Ordinal), state: () => worker.Log);
        await worker.SignalAsync("INT");

        (await worker.ExitAsync(s_limit)).ShouldNotBe(0, worker.Log);
        await worker.StartAsync(Token);
        var again = await cluster.Gateways[0].Client().WaitAsync(job, Token);
        again.State.ShouldBe(JobState.Succeeded, again.Error?.Detail);
        again.Attempt.ShouldBe(2);
    }

    private static ServerProcess Alone() => new(environment: new Dictionary<string, string> { ["MYELIN_WORKER_DRAIN_TIMEOUT"] = "2m" });

    /// <summary>Stopped in order, and there again.</summary>
    private static async Task StopAsync(ServerProcess process, string signal)
    {
        await process.SignalAsync(signal);
        (await process.ExitAsync(s_limit)).ShouldBe(0, process.Log);
        await process.StartAsync(Token);
    }

    private static async Task<string> RunningAsync(ServerProcess server, int steps)
    {
        var submitted = await server.Client().SubmitAsync(ClusterCalls.Picture(steps), Token);
        (await server.Client().StepAsync(submitted.Id, 3, Token)).State.ShouldBe(JobState.Running, "it must run when the word comes");
        return submitted.Id;
    }

    private static async Task EndedAtTheFirstAttemptAsync(ServerProcess server, string job, string log)
    {
        var ended = await server.Client().WaitAsync(job, Token);
        ended.State.ShouldBe(JobState.Succeeded, ended.Error?.Detail + log);
        ended.Attempt.ShouldBe(1, log);
    }
}
