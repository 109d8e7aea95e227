using System.Diagnostics;
using System.Globalization;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>
/// The broker is gone for a while under a steady load (<c>./dev e2e</c>: three minutes, <c>MYELIN_OUTAGE_SECONDS</c>):
/// accepting goes on as if nothing were, and so do the jobs, from the rows.
/// </summary>
[Collection(nameof(WholeMachine))]
public sealed class BrokerOutageTests
{
    private const int PerSecond = 10;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Kafka_AwayUnderLoad_EverySubmissionIsAcceptedAtOnceAndEndsOnce()
    {
        var away = TimeSpan.FromSeconds(double.Parse(Environment.GetEnvironmentVariable("MYELIN_OUTAGE_SECONDS") ?? "30", CultureInfo.InvariantCulture));
        using var models = new ModelFolders();
        models.AddIris();
        await using var cluster = await LocalCluster.StartAsync(
            new LocalClusterPlan { Settings = new Dictionary<string, string> { ["MYELIN_MODELS"] = models.Root, ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning" } }, Token);
        var audit = new JobAudit(cluster.Database);
        await audit.StartAsync();
        const int Clients = 4;
        var load = new ClusterLoad(cluster.Gateways, (int)(away.TotalSeconds + 15) * PerSecond, Clients, TimeSpan.FromSeconds((double)Clients / PerSecond));
        var submitting = load.RunAsync(Token);
        await Task.Delay(TimeSpan.FromSeconds(5), Token);

        await cluster.KillAsync("kafka", Token);
        var (dark, endedBefore, answersBefore) = (Stopwatch.StartNew(), await EndedAsync(audit), load.Answers.Count);
        await Task.Delay(away, Token);
        var (endedInTheDark, acceptedInTheDark, seconds) = (await EndedAsync(audit) - endedBefore, load.Answers.Count - answersBefore, dark.Elapsed.TotalSeconds);
        submitting.IsCompleted.ShouldBeFalse("the load did not last as long as the outage");
        await cluster.StartAsync("kafka", Token);
        await submitting;
        await audit.EndAllAsync(() => cluster.Logs);

        var answers = load.Answers.Order().ToArray();
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"{seconds:0} s without a broker: {acceptedInTheDark} accepted, {endedInTheDark} ended; answers p50 {answers[answers.Length / 2]:0} ms, longest {answers[^1]:0} ms");
        load.Repeats.ShouldBeEmpty("a submission was refused or broken off");
        answers[answers.Length / 2].ShouldBeLessThan(500, "submissions waited for the broker");
        acceptedInTheDark.ShouldBeGreaterThan((int)(seconds * PerSecond / 2), "accepting slowed down");
        endedInTheDark.ShouldBeGreaterThan(acceptedInTheDark / 2, "work stood still");
        await load.CheckAsync(audit, cluster.Logs);
    }

    private static Task<long> EndedAsync(JobAudit audit) => audit.CountAsync("SELECT count(*) FROM jobs WHERE state = 2");
}
