using System.Diagnostics;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Operations;

/// <summary>Every expression of the dashboards and the alerts, evaluated by a real Prometheus over a real server.</summary>
public sealed partial class DashboardTests
{
    /// <summary>What a healthy server with a few successful jobs has no series for.</summary>
    private static readonly string[] s_onlyInTrouble = ["rejected", "retries", "lost_leases", "failure", "Failed"];

    [Fact]
    public async Task Dashboards_EveryExpression_IsUnderstoodAndHasData()
    {
        var binary = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(p => Path.Combine(p, "prometheus")).FirstOrDefault(File.Exists);
        Assert.SkipUnless(binary is not null, "needs prometheus (apt-get install prometheus), which is not here");
        await using var server = await RunningServer.StartAsync();
        using var folder = new TemporaryFolder();
        var port = ServerProcess.FreePort();
        File.Copy(Deploy("prometheus/alerts.yml"), Path.Combine(folder.Path, "alerts.yml"));
        var config = Path.Combine(folder.Path, "prometheus.yml");
        await File.WriteAllTextAsync(config, $$"""
            global: {scrape_interval: 1s, evaluation_interval: 1s}
            rule_files: [alerts.yml]
            scrape_configs:
              - job_name: myelin
                static_configs: [{targets: ["{{server.Http.BaseAddress!.Authority}}"]}]
            """);
        using var prometheus = Process.Start(new ProcessStartInfo(binary!, [
            $"--config.file={config}", $"--storage.tsdb.path={folder.Path}/data", $"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]))!;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        try
        {
            using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
            await Prometheus.EvaluatesAsync(http, "up == 1", hasData: true);
            // Rates need points before and after; the queue's length shows only while something waits as it is looked at.
            var work = Task.WhenAll(Enumerable.Range(0, 6).Select(_ => WorkAsync(server.Http, ended.Token)));
            var dashboard = JsonDocument.Parse(await File.ReadAllTextAsync(Deploy("grafana/dashboards/myelin.json"))).RootElement;
            var expressions = dashboard.GetProperty("panels").EnumerateArray()
                .Where(p => p.TryGetProperty("targets", out _))
                .SelectMany(p => p.GetProperty("targets").EnumerateArray().Select(t => t.GetProperty("expr").GetString()!))
                .ToList();
            expressions.Count.ShouldBeGreaterThan(15);
            foreach (var expression in expressions)
            {
                await Prometheus.EvaluatesAsync(http, expression, hasData: !s_onlyInTrouble.Any(expression.Contains));
            }

            var rules = JsonDocument.Parse(await http.GetStringAsync("/api/v1/rules")).RootElement.GetProperty("data").GetProperty("groups")[0].GetProperty("rules");
            rules.GetArrayLength().ShouldBe(AlertName().Count(await File.ReadAllTextAsync(Deploy("prometheus/alerts.yml"))));
            rules.EnumerateArray().ShouldAllBe(r => r.GetProperty("health").GetString() == "ok" && r.GetProperty("state").GetString() == "inactive");
            await ended.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(work); // and nothing else before
        }
        finally
        {
            prometheus.Kill();
            await prometheus.WaitForExitAsync();
        }
    }

    private static async Task WorkAsync(HttpClient http, CancellationToken cancellationToken)
    {
        while (true)
        {
            using var picture = new ByteArrayContent(Pictures.Jpeg()) { Headers = { ContentType = new("image/jpeg") } };
            using var form = new MultipartFormDataContent { { new StringContent("faces"), "model" }, { picture, "image", "photo.jpg" } };
            using var answer = await http.PostAsync("/v1/jobs?wait=60s", form, cancellationToken);
            answer.StatusCode.ShouldBe(HttpStatusCode.OK);
            await Task.Delay(50, cancellationToken);
        }
    }

    private static string Deploy(string file) => Path.Combine(Shared.Root, "deploy", file);

    [GeneratedRegex("^ +- alert:", RegexOptions.Multiline, 1000)]
    private static partial Regex AlertName();
}
