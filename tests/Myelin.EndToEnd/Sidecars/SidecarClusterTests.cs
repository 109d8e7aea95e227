using Myelin.Client;
using Myelin.EndToEnd.Distributed;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>Sidecars run beside workers; the gateway that people ask is another process.</summary>
public sealed class SidecarClusterTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Gateway_WithoutModelsOfItsOwn_ShowsTheWorkersSidecarsAndReloadsThem()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        using var models = new TemporaryFolder();
        SidecarServer.Write(models.Path, "uds", environment: "VERSION: '1'");
        await using var cluster = await Cluster.StartAsync(
            new ClusterPlan { Workers = 2, Settings = new Dictionary<string, string> { ["MYELIN_MODELS"] = models.Path } }, Token);
        var client = cluster.Gateways[0].Client();

        await Wait.UntilAsync(async () => await client.ModelAsync("looker", Token) is { Workers: 2, Runtime: { State: "ready", Transport: "uds" } }, "both workers have told");
        (await client.ModelAsync("looker", Token)).Runtime!.Processes.ShouldNotBeEmpty();

        await client.ReloadModelAsync("looker", Token);

        await Wait.UntilAsync(() => cluster.Workers.All(w => w.Log.Contains("model looker is replaced", StringComparison.Ordinal)), "both workers have replaced it");
        await using var picture = File.OpenRead(SidecarServer.Picture);
        var job = await client.SubmitAsync(new JobSubmission("looker") { Files = [new("image", picture, "image/jpeg")] }, Token);
        (await client.WaitAsync(job.Id, Token)).State.ShouldBe(JobState.Succeeded);
    }
}
