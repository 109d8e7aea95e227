using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Myelin.Client;
using Myelin.EndToEnd.Operations;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary><c>./dev cluster</c> as a person uses it: up, a picture, a crash, another picture, down.</summary>
public sealed class LocalClusterTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly int _port = ServerProcess.FreePort() / 2; // the cluster takes fifty from here on

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        Shared.Require("kafka", "kafka");
        Shared.Require("s3", "s3s-fs");
        Assert.SkipUnless(PostgresServer.IsInstalled, "needs PostgreSQL (apt-get install postgresql; ./dev test does it as root)");
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_101_101); // the user postgres passes through
        }

        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Up_CrashesOfItsParts_WorksOn()
    {
        await RunAsync("up");
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{_port + 1}") };
        var client = new MyelinClient(http, new MyelinClientOptions { MaxRetries = 20, MaxRetryDelay = TimeSpan.FromSeconds(2) });
        await EndsAsync(client);

        await RunAsync("kill", "worker-1");
        await RunAsync("kill", "kafka");
        await RunAsync("kill", "postgres");
        var waiting = EndsAsync(client);
        await RunAsync("start", "postgres");
        await waiting; // without a broker

        await RunAsync("start", "kafka");
        await RunAsync("start", "worker-1");
        await EndsAsync(client);
        await DashboardAsync();
        (await RunAsync("status")).Split('\n').Count(line => line.Contains("run", StringComparison.Ordinal)).ShouldBeGreaterThanOrEqualTo(9);
        await RunAsync("down");
        (await RunAsync("status")).ShouldNotContain("runs");
    }

    public async ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result != TestResult.Skipped)
        {
            await RunAsync("rm");
        }

        _folder.Dispose();
    }

    /// <summary>The cluster's dashboard over the cluster's own Prometheus: expressions are understood, and those of healthy days have data.</summary>
    private async Task DashboardAsync()
    {
        if (!(await RunAsync("status")).Split('\n').Any(line => line.StartsWith("prometheus", StringComparison.Ordinal) && line.Contains("runs", StringComparison.Ordinal)))
        {
            return; // not installed, and said so by `up`
        }

        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{_port + 50}") };
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

    private async Task<string> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(Shared.Root, "deploy", "local", "cluster"), arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["CLUSTER_DIR"] = _folder.Combine("cluster");
        start.Environment["CLUSTER_PORT"] = _port.ToString(CultureInfo.InvariantCulture);
        start.Environment["CLUSTER_SERVER"] = ServerProcess.Executable;
        start.Environment["MYELIN_SHARED"] = Shared.Folder;
        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(Token), process.StandardError.ReadToEndAsync(Token));
        await process.WaitForExitAsync(Token);
        process.ExitCode.ShouldBe(0, $"{string.Join(' ', arguments)}: {await errors}{await output}");
        return await output;
    }
}
