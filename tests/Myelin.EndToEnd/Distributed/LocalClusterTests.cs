using System.Text.Json;
using Myelin.Client;
using Myelin.EndToEnd.Operations;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary><c>./dev cluster</c> as a person uses it: up, a picture, a crash, another picture, down.</summary>
[Collection(nameof(WholeMachine))]
public sealed class LocalClusterTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Up_CrashesOfItsParts_WorksOn()
    {
        await using var cluster = await LocalCluster.StartAsync(new LocalClusterPlan(), Token);
        var client = new MyelinClient(cluster.Gateways[1], new MyelinClientOptions { MaxRetries = 20, MaxRetryDelay = TimeSpan.FromSeconds(2) });
        await EndsAsync(client);

        await cluster.KillAsync("worker-1", Token);
        await cluster.KillAsync("kafka", Token);
        await cluster.KillAsync("postgres", Token);
        var waiting = EndsAsync(client);
        await cluster.StartAsync("postgres", Token);
        await waiting; // without a broker

        await cluster.StartAsync("kafka", Token);
        await cluster.StartAsync("worker-1", Token);
        await EndsAsync(client);
        await DashboardAsync(cluster);
        (await StatusAsync(cluster)).Count(line => line.Contains("run", StringComparison.Ordinal)).ShouldBeGreaterThanOrEqualTo(9);
        await cluster.RunAsync(Token, "down");
        (await StatusAsync(cluster)).ShouldAllBe(line => !line.Contains("runs", StringComparison.Ordinal));
    }

    /// <summary>The cluster's dashboard over the cluster's own Prometheus: expressions are understood, and those of healthy days have data.</summary>
    private static async Task DashboardAsync(LocalCluster cluster)
    {
        if (!(await StatusAsync(cluster)).Any(line => line.StartsWith("prometheus", StringComparison.Ordinal) && line.Contains("runs", StringComparison.Ordinal)))
        {
            return; // not installed, and said so by `up`
        }

        using var http = new HttpClient { BaseAddress = cluster.Prometheus };
        var dashboard = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(Shared.Root, "deploy", "grafana", "dashboards", "cluster.json"), Token)).RootElement;
        foreach (var panel in dashboard.GetProperty("panels").EnumerateArray())
        {
            var healthy = panel.GetProperty("title").GetString() is "Workers that take work" or "Hints that wait for a worker" or "Messages read" or "Brokers answer" or "Processor by process";
            foreach (var target in panel.GetProperty("targets").EnumerateArray())
            {
                await Prometheus.EvaluatesAsync(http, target.GetProperty("expr").GetString()!, healthy);
            }
        }
    }

    private static async Task EndsAsync(MyelinClient client)
    {
        var job = await client.SubmitAsync(ClusterCalls.Faces(), Token);
        (await client.WaitAsync(job.Id, Token)).State.ShouldBe(JobState.Succeeded);
    }

    private static async Task<string[]> StatusAsync(LocalCluster cluster) => (await cluster.RunAsync(Token, "status")).Split('\n');
}
