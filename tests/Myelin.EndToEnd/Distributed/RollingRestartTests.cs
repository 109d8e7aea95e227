using System.Collections.Concurrent;
using Myelin.Client;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>Every process is replaced by turns, as an upgrade does, under load of the client that repeats as it is delivered.</summary>
public sealed class RollingRestartTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task EveryProcess_RestartedByTurns_NoCallAndNoStreamFails()
    {
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Gateways = 2, Workers = 2, Coordinators = 2 }, Token);
        using var stop = new CancellationTokenSource();
        var ended = new ConcurrentBag<Job>();
        var clients = Enumerable.Range(0, 4).Select(number => WorkAsync(cluster.Gateways[number % 2], ended, watch: number < 2, stop.Token)).ToList();
        var restarted = 0;

        foreach (var process in cluster.All.ToList())
        {
            var before = ended.Count;
            (await process.TerminateAsync(TimeSpan.FromMinutes(1))).ShouldBe(0, process.Log);
            await process.StartAsync(Token);
            restarted++;
            await Wait.UntilAsync(() => ended.Count >= before + 4 || clients.Exists(client => client.IsFaulted), state: () => cluster.Logs);
        }

        await stop.CancelAsync();
        await Task.WhenAll(clients); // whatever a client could not do is thrown here
        restarted.ShouldBe(6);
        ended.ShouldAllBe(job => job.State == JobState.Succeeded);
        ended.Select(job => job.Id).ShouldBeUnique();
        TestContext.Current.TestOutputHelper!.WriteLine($"{ended.Count} jobs ended over {restarted} restarts, {ended.Count(job => job.Attempt > 1)} of them at a further attempt");
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
