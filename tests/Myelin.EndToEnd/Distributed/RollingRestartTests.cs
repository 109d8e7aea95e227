using System.Collections.Concurrent;
using Myelin.Client;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>Every process is replaced by turns, as an upgrade does, under load of the client that repeats as it is delivered.</summary>
[Collection(nameof(WholeMachine))]
public sealed class RollingRestartTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public Task EveryProcess_RestartedByTurns_NoCallAndNoStreamFails() => ReplaceAsync(ServerProcess.Executable, ServerProcess.Executable);

    /// <summary><c>./dev upgrade</c> builds the earlier version and runs this: forward, half old and half new for a while, and back.</summary>
    [Fact(Explicit = true)]
    public async Task EveryProcess_UpgradedByTurnsAndBack_NoCallAndNoStreamFails()
    {
        var previous = Environment.GetEnvironmentVariable("MYELIN_PREVIOUS_SERVER").ShouldNotBeNull("run it by ./dev upgrade COMMIT, which builds that version's server");
        await ReplaceAsync(previous, ServerProcess.Executable, previous);
    }

    /// <param name="versions">The programs, each of which takes over from the one before.</param>
    private static async Task ReplaceAsync(params string[] versions)
    {
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Gateways = 2, Workers = 2, Coordinators = 2, Program = versions[0] }, Token);
        using var stop = new CancellationTokenSource();
        var ended = new ConcurrentBag<Job>();
        var clients = Enumerable.Range(0, 4).Select(number => WorkAsync(cluster.Gateways[number % 2], ended, watch: number < 2, stop.Token)).ToList();
        var replaced = 0;

        foreach (var version in versions[1..])
        {
            foreach (var process in cluster.All.ToList())
            {
                var before = ended.Count;
                (await process.TerminateAsync(TimeSpan.FromMinutes(1))).ShouldBe(0, process.Log);
                process.Program = version;
                await process.StartAsync(Token);
                replaced++;
                await Wait.UntilAsync(() => ended.Count >= before + 4 || clients.Exists(client => client.IsFaulted), state: () => cluster.Logs);
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(clients); // whatever a client could not do is thrown here
        ended.ShouldAllBe(job => job.State == JobState.Succeeded);
        ended.Select(job => job.Id).ShouldBeUnique();
        TestContext.Current.TestOutputHelper!.WriteLine($"{ended.Count} jobs ended over {replaced} restarts, {ended.Count(job => job.Attempt > 1)} of them at a further attempt");
    }

    /// <summary>Submits, follows to the end (by events, or by asking), again. Nothing may throw.</summary>
    private static async Task WorkAsync(ServerProcess gateway, ConcurrentBag<Job> ended, bool watch, CancellationToken stop)
    {
        // A gateway takes seconds to come back on a busy machine; the client's own retries bridge that.
        var client = new MyelinClient(gateway.Http, new MyelinClientOptions { MaxRetries = 12, MaxRetryDelay = TimeSpan.FromSeconds(5) });
        while (!stop.IsCancellationRequested)
        {
            var job = await client.SubmitAsync(ClusterCalls.Picture(steps: 10), Guid.NewGuid().ToString("n"), Token);
            if (watch)
            {
                long last = 0;
                await foreach (var update in client.EventsAsync(job.Id, Token))
                {
                    update.Id.ShouldBeGreaterThan(last, "an event came twice or out of order");
                    (last, job) = (update.Id, update.Job);
                }
            }
            else
            {
                job = await client.WaitAsync(job.Id, Token);
            }

            job.State.IsEnd().ShouldBeTrue();
            ended.Add(job);
        }
    }
}
