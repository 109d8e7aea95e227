using System.Globalization;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>A sidecar has a release cycle of its own: new versions come while jobs run.</summary>
public sealed class ReplacementTests
{
    private const int Replacements = 50;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Reload_FiftyVersionsUnderLoad_NoJobFailsAndOldOnesEnd()
    {
        await using var server = await SidecarServer.StartAsync(
            s => s.Write("uds", environment: "VERSION: '0'"), new Dictionary<string, string> { ["MYELIN_WORKER_CONCURRENCY"] = "4", ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning" });
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);
        using var stop = new CancellationTokenSource();
        var jobs = 0;
        var clients = Enumerable.Range(0, 3).Select(_ => Task.Run(
            async () =>
            {
                for (var last = 0; !stop.IsCancellationRequested; Interlocked.Increment(ref jobs))
                {
                    var version = await VersionAsync(server);
                    version.ShouldBeGreaterThanOrEqualTo(last, "an old version never answers after a new one");
                    last = version;
                }
            },
            Token)).ToList();

        for (var version = 1; version <= Replacements; version++)
        {
            server.Write("uds", environment: $"VERSION: '{version}'");
            await server.Client.ReloadModelAsync("looker", Token);
            var wanted = version.ToString(CultureInfo.InvariantCulture);
            await Wait.UntilAsync(async () => (await server.ModelAsync()).Runtime!.Version == wanted, $"version {wanted} serves");
        }

        (await VersionAsync(server)).ShouldBe(Replacements);
        await stop.CancelAsync();
        await Task.WhenAll(clients);
        jobs.ShouldBeGreaterThan(Replacements, "too little load to prove anything");
        (await server.MetricAsync("""myelin_sidecar_calls_total{model="looker",outcome="failed"}""")).ShouldBe(0);
        (await server.MetricAsync("""myelin_sidecar_retries_total{model="looker"}""")).ShouldBe(0);
        var run = Path.Combine(server.Server.Data, "run");
        await Wait.UntilAsync(() => Processes.With(run).Count == 1, "only the last version's process is left");
        Directory.GetFiles(run, "*.pid", SearchOption.AllDirectories).Length.ShouldBe(1);
        Directory.GetFiles("/dev/shm", $"myelin-ring-{server.Server.Id}-*").ShouldBeEmpty();
        TestContext.Current.TestOutputHelper!.WriteLine($"{jobs} jobs over {Replacements} replacements");
    }

    [Fact]
    public async Task Reload_VersionThatDoesNotStart_ChangesNothingButTheErrorShown()
    {
        await using var server = await SidecarServer.StartAsync(
            s => s.Write("uds", environment: "VERSION: '1'"), new Dictionary<string, string> { ["MYELIN_SIDECARS_MAX_CRASHES"] = "2", ["MYELIN_SIDECARS_RESTART_DELAY"] = "00:00:00.05" });
        (await VersionAsync(server)).ShouldBe(1);

        server.Write("uds", environment: "VERSION: '2'");
        await File.WriteAllTextAsync(Path.Combine(server.Models, "looker", "serve.py"), "raise SystemExit('the new lens does not fit')", Token);

        await Wait.UntilAsync(async () => (await server.ModelAsync()).Errors.Count > 0, "the watcher has tried the new version");
        var model = await server.ModelAsync();
        model.State.ShouldBe("ready");
        model.Errors[0].Log.ShouldNotBeNull().ShouldContain("the new lens does not fit");
        model.Errors[0].Message.ShouldContain("the version before it goes on");
        (await VersionAsync(server)).ShouldBe(1);

        server.Write("uds", environment: "VERSION: '3'");
        await Wait.UntilAsync(async () => (await server.ModelAsync()).Runtime!.Version == "3", "a version that starts is taken");
        (await server.ModelAsync()).Errors.ShouldBeEmpty();
    }

    private static async Task<int> VersionAsync(SidecarServer server)
    {
        var job = await server.RunAsync();
        job.State.ShouldBe(JobState.Succeeded, job.Error?.Detail);
        return int.Parse(job.Result!.Value.GetProperty("version").GetString()!, CultureInfo.InvariantCulture);
    }
}
