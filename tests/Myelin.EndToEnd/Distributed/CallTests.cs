using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>Synchronous calls from a gateway to workers in other processes, over their sockets and over HTTP/2.</summary>
public sealed class CallTests
{
    private const string Key = "a key that nobody guesses";
    private const string Iris = """{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}""";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Calls_ThroughAGateway_AreAnsweredByWorkersOfOtherProcesses()
    {
        using var models = new ModelFolders();
        models.AddIris();
        var settings = new Dictionary<string, string> { ["MYELIN_CLUSTER_KEY"] = Key };
        await using var cluster = await Cluster.StartAsync(new ClusterPlan { Gateways = 1, Workers = 0, Settings = settings }, Token);
        var gateway = cluster.Gateways[0];
        (await CallAsync(gateway)).Status.ShouldBe(HttpStatusCode.NotFound);

        // One by its socket, one by its address alone.
        var near = await cluster.AddWorkerAsync(Token, new Dictionary<string, string> { ["MYELIN_MODELS"] = models.Root });
        var port = ServerProcess.FreePort();
        var before = Sockets(cluster);
        var far = await cluster.AddWorkerAsync(Token, new Dictionary<string, string>
        {
            ["MYELIN_MODELS"] = models.Root,
            ["MYELIN_WORKER_LISTEN"] = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}"),
        });
        File.Delete(Sockets(cluster).Except(before).ShouldHaveSingleItem());
        await ReadyAsync(gateway, workers: 2);

        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => CallAsync(gateway)));
        answers.ShouldAllBe(a => a.Status == HttpStatusCode.OK);
        answers.Select(a => Numbers(a.Body)).Distinct().Count().ShouldBe(1, "one network, one answer");
        (await CallsOfAsync(near) + await CallsOfAsync(far)).ShouldBe(40);
        (await CallsOfAsync(near)).ShouldBeGreaterThan(0);
        (await CallsOfAsync(far)).ShouldBeGreaterThan(0);
        var about = await gateway.Http.GetStringAsync(new Uri("/v2/models/iris", UriKind.Relative), Token);
        about.ShouldContain("\"datatype\":\"FP32\"");

        // Loaded anew on both, at a word to the gateway.
        using (var reload = await gateway.Http.PostAsync(new Uri("/v1/models/iris/reload", UriKind.Relative), null, Token))
        {
            reload.StatusCode.ShouldBe(HttpStatusCode.OK);
        }

        await Wait.UntilAsync(() => new[] { near, far }.All(worker => worker.Log.Contains("model iris is replaced", StringComparison.Ordinal)));

        // Nobody else gets in by that door, and nothing but calls is behind it.
        (await KnockAsync(port, "/v2/models/iris", key: null)).ShouldBe(HttpStatusCode.Unauthorized);
        (await KnockAsync(port, "/v2/models/iris", "a key that somebody guesses")).ShouldBe(HttpStatusCode.Unauthorized);
        (await KnockAsync(port, "/v2/models/iris", Key)).ShouldBe(HttpStatusCode.OK);
        (await KnockAsync(port, "/v1/jobs", Key)).ShouldBe(HttpStatusCode.NotFound);
        (await KnockAsync(port, "/metrics", Key)).ShouldBe(HttpStatusCode.NotFound);

        // One is killed under calls: at most those it had are lost, all others are answered by the other.
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 4).Select(_ => CallUntilAsync(gateway, stop.Token)).ToList();
        await Task.Delay(300, Token);
        await far.KillAsync();
        await Task.Delay(1500, Token);
        await stop.CancelAsync();
        var statuses = (await Task.WhenAll(load)).SelectMany(s => s).ToList();
        statuses.Count(s => s != HttpStatusCode.OK).ShouldBeLessThanOrEqualTo(4, string.Join(", ", statuses.Where(s => s != HttpStatusCode.OK)));
        statuses.Count.ShouldBeGreaterThan(20);
        (await CallAsync(gateway)).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Worker_ThatListensToOthersWithoutAKey_DoesNotStart()
    {
        await using var worker = new ServerProcess(environment: new Dictionary<string, string> { ["MYELIN_WORKER_LISTEN"] = "http://0.0.0.0:18999" });

        worker.Launch();

        (await worker.ExitAsync(TimeSpan.FromSeconds(30))).ShouldBe(2);
        worker.Log.ShouldContain("cluster.key");
    }

    private static async Task<(HttpStatusCode Status, string Body)> CallAsync(ServerProcess gateway)
    {
        using var content = new StringContent(Iris, Encoding.UTF8, "application/json");
        using var response = await gateway.Http.PostAsync(new Uri("/v2/models/iris/infer", UriKind.Relative), content, Token);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(Token));
    }

    private static async Task<List<HttpStatusCode>> CallUntilAsync(ServerProcess gateway, CancellationToken stop)
    {
        var statuses = new List<HttpStatusCode>();
        while (!stop.IsCancellationRequested)
        {
            statuses.Add((await CallAsync(gateway)).Status);
        }

        return statuses;
    }

    private static string Numbers(string answer)
    {
        using var json = JsonDocument.Parse(answer);
        return json.RootElement.GetProperty("outputs")[0].GetProperty("data").GetRawText();
    }

    /// <summary>Calls that a worker has answered, from its own metrics.</summary>
    private static async Task<int> CallsOfAsync(ServerProcess worker)
    {
        var metrics = await worker.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Token);
        return metrics.Split('\n').Where(line => line.StartsWith("myelin_calls_served_total{model=\"iris\"", StringComparison.Ordinal))
            .Sum(line => int.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    private static async Task ReadyAsync(ServerProcess gateway, int workers)
    {
        await Wait.UntilAsync(async () => (await gateway.Client().ModelsAsync(Token)).Any(m => m is { Name: "iris", State: "ready" } && m.Workers == workers));

        // Both have it, and have it loaded.
        await Wait.UntilAsync(async () => (await gateway.Client().WorkersAsync(Token)).Count(w => w.Models.Any(m => m is { Name: "iris", State: "ready" })) >= workers);
    }

    private static async Task<HttpStatusCode> KnockAsync(int port, string path, string? key)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}{path}")))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        if (key is not null)
        {
            request.Headers.Add("X-Myelin-Cluster-Key", key);
        }

        using var response = await http.SendAsync(request, Token);
        return response.StatusCode;
    }

    private static string[] Sockets(Cluster cluster) => Directory.GetFiles(Path.Combine(cluster.Data, "sockets"), "*.sock");
}
