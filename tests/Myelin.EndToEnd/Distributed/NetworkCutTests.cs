using Myelin.Protocol;
using Myelin.Testing;
using Npgsql;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>A worker whose way to the database is cut while it works: the others go on, and it does no harm when it is back.</summary>
public sealed class NetworkCutTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Worker_CutFromStorageInMidJob_IsFollowedAndItsLateResultRefused()
    {
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Gateways = 1, Workers = 0 }, Token);
        await using var proxy = new CuttableProxy(cluster.Postgres.Port);
        var through = new NpgsqlConnectionStringBuilder(cluster.Database.Connection) { Port = proxy.Port }.ConnectionString;
        var cut = await cluster.AddWorkerAsync(Token, new Dictionary<string, string> { ["MYELIN_STORAGE_CONNECTION"] = through });
        var client = cluster.Gateways[0].Client();
        var job = await client.SubmitAsync(ClusterCalls.Picture(steps: 150), Token);
        (await client.StepAsync(job.Id, 3, Token)).State.ShouldBe(JobState.Running);

        proxy.CutNetwork();
        var other = await cluster.AddWorkerAsync(Token);
        var ended = await client.WaitAsync(job.Id, Token);

        (ended.State, ended.Attempt).ShouldBe((JobState.Succeeded, 2), $"{ended.Error?.Detail}\n{cluster.Logs}");
        var picture = await cluster.Gateways[0].Http.GetByteArrayAsync(new Uri(ended.Artifacts[0].Url!, UriKind.Relative), Token);
        proxy.Heal();
        await Wait.UntilAsync(() => cut.Log.Contains("belongs to somebody else", StringComparison.Ordinal), state: () => cluster.Logs);
        var later = await client.GetAsync(job.Id, Token);
        (later.State, later.Attempt, later.Artifacts[0].Sha256).ShouldBe((JobState.Succeeded, 2, ended.Artifacts[0].Sha256));
        (await cluster.Gateways[0].Http.GetByteArrayAsync(new Uri(later.Artifacts[0].Url!, UriKind.Relative), Token)).ShouldBe(picture);

        // Back on the network it works as before.
        (await other.TerminateAsync(TimeSpan.FromMinutes(1))).ShouldBe(0);
        var next = await client.SubmitAsync(ClusterCalls.Picture(steps: 4), Token);
        (await client.WaitAsync(next.Id, Token)).State.ShouldBe(JobState.Succeeded);
    }
}
