using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Operations;

/// <summary>
/// Every endpoint of a real server, called over and over where it answers without work: what it holds afterwards is what
/// it held before. Endpoints come from the server's own routes, so a new one is called without being named here.
/// </summary>
public sealed class SoakTests
{
    /// <summary>Calls per endpoint: <c>MYELIN_SOAK_CALLS</c>; <c>./dev e2e</c> makes 10,000.</summary>
    private static readonly int s_calls = int.Parse(Environment.GetEnvironmentVariable("MYELIN_SOAK_CALLS") ?? "300", CultureInfo.InvariantCulture);

    /// <summary>What an endpoint may add, in bytes: a leak of two kilobytes a call shows among 10,000.</summary>
    private const long Each = 20 << 20;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task EveryEndpoint_CalledOverAndOver_HoldsNothing()
    {
        // A small nursery: what is only not collected yet is not taken for held.
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["DOTNET_GCgen0size"] = "0x1000000" });
        await server.StartAsync(Token);
        var job = await EndedJobAsync(server.Http);
        var calls = await CallsAsync(job);
        var wrong = new List<string>();
        foreach (var call in calls)
        {
            var status = (int)await call.SendAsync(server.Http, Token);
            if (status is < 200 or > 299 && !call.MayRefuse)
            {
                wrong.Add($"{call}: {status}");
            }
        }

        wrong.ShouldBeEmpty("what answers otherwise than a caller would see proves nothing");
        async Task PassAsync(int times, Func<Call, Held, Task> after)
        {
            foreach (var call in calls)
            {
                await Parallel.ForAsync(0, times, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = Token }, async (_, token) => await call.SendAsync(server.Http, token));
                await after(call, await Held.OfAsync(server));
            }
        }

        await PassAsync(Math.Max(100, s_calls / 5), (_, _) => Task.CompletedTask);
        var start = await Held.OfAsync(server);
        var before = start;
        var grew = new List<string>();
        await PassAsync(s_calls, (call, now) =>
        {
            TestContext.Current.SendDiagnosticMessage($"{call}: {now} ({(now.Memory - before.Memory) >> 20:+0;-0;0} MiB)");
            if (now.Memory - before.Memory > Each)
            {
                grew.Add($"{call}: {before} → {now}");
            }

            before = now;
            return Task.CompletedTask;
        });

        var end = await Held.OfAsync(server);
        grew.ShouldBeEmpty();
        end.Statements.ShouldBeLessThanOrEqualTo(start.Statements + 8); // a duty whose turn had not come before
        end.Handles.ShouldBeLessThanOrEqualTo(start.Handles + 8);
        end.Threads.ShouldBeLessThanOrEqualTo(start.Threads + 8); // the pool's own ups and downs
        end.Memory.ShouldBeLessThan(start.Memory + start.Memory / 4, $"{start} → {end}");
    }

    private static async Task<string> EndedJobAsync(HttpClient http)
    {
        using var form = new MultipartFormDataContent { { new StringContent("faces"), "model" } };
        form.Add(new ByteArrayContent(Pictures.Jpeg()), "image", "photo.jpg");
        using var answer = await http.PostAsync(new Uri("/v1/jobs?wait=60s", UriKind.Relative), form, Token);
        var job = await answer.Content.ReadFromJsonAsync<JsonElement>(Token);
        job.GetProperty("state").GetString().ShouldBe("succeeded");
        return job.GetProperty("id").GetString()!;
    }

    /// <summary>One call per route and method of this build, and the variants and files that have no route of their own.</summary>
    private static async Task<IReadOnlyList<Call>> CallsAsync(string job)
    {
        await using var routes = await RunningServer.StartAsync(worker: false);
        var calls = routes.Get<IEnumerable<EndpointDataSource>>().SelectMany(s => s.Endpoints).OfType<RouteEndpoint>()
            .SelectMany(e => (e.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"]).Select(method => Call.Of(method, e.RoutePattern, job)))
            .DistinctBy(c => (c.Method, c.Path)).ToList();
        calls.Count.ShouldBeGreaterThan(40);
        return
        [
            .. calls,
            .. ((string[])["/", "/favicon.svg", "/no-such-page", "/v1/jobs?state=running", "/v1/jobs?state=queued&model=faces", "/v1/jobs?limit=1&before=zzz", "/v1/jobs/no-such"])
                .Select(path => new Call(HttpMethod.Get, path, null, MayRefuse: path.Contains("no-such", StringComparison.Ordinal))),
        ];
    }

    /// <param name="Body">JSON to send.</param>
    /// <param name="MayRefuse">A 4xx is its answer.</param>
    private sealed record Call(HttpMethod Method, string Path, string? Body, bool MayRefuse)
    {
        /// <summary>No preview of what has ended, no tensors of what does a task.</summary>
        private static readonly string[] s_refusing = ["/preview", "v2/models/faces"];

        /// <summary>Work is asked for in words that are refused: an unknown name, half an object.</summary>
        public static Call Of(string method, RoutePattern pattern, string job)
        {
            var writes = method is not ("GET" or "HEAD");
            var path = string.Join('/', pattern.PathSegments.Select(s => string.Concat(s.Parts.Select(p => p switch
            {
                RoutePatternLiteralPart literal => literal.Content,
                RoutePatternParameterPart { Name: "id" } => job,
                RoutePatternParameterPart { Name: "version" } => "1",
                RoutePatternParameterPart { Name: "documentName" } => "v1",
                RoutePatternParameterPart when writes => "no-such",
                RoutePatternParameterPart when pattern.RawText!.Contains("artifacts", StringComparison.Ordinal) => "annotated.jpg",
                RoutePatternParameterPart when pattern.RawText!.Contains("problems", StringComparison.Ordinal) => "not-found",
                _ => "faces",
            }))));
            var harmless = path is "sdapi/v1/interrupt" or "sdapi/v1/options";
            return new Call(new HttpMethod(method), "/" + path, method == "POST" ? harmless ? "{}" : "{" : null, MayRefuse: (writes && !harmless) || s_refusing.Any(path.Contains));
        }

        public async Task<HttpStatusCode> SendAsync(HttpClient http, CancellationToken token)
        {
            using var request = new HttpRequestMessage(Method, new Uri(Path, UriKind.Relative));
            request.Content = Body is null ? null : new StringContent(Body, Encoding.UTF8, "application/json");
            using var answer = await http.SendAsync(request, token);
            ((int)answer.StatusCode).ShouldBeLessThan(500, ToString());
            return answer.StatusCode;
        }

        public override string ToString() => $"{Method} {Path}";
    }

    /// <summary>What a process holds; memory is what no file backs.</summary>
    private sealed record Held(long Memory, int Handles, int Threads, int Statements)
    {
        public static async Task<Held> OfAsync(ServerProcess server)
        {
            var status = (await File.ReadAllLinesAsync($"/proc/{server.Id}/status", Token)).Select(l => l.Split(':', 2)).ToDictionary(l => l[0], l => l[1].Trim().Split(' ')[0]);
            var metrics = (await server.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Token)).Split('\n');
            return new Held(
                long.Parse(status["RssAnon"], CultureInfo.InvariantCulture) << 10,
                Directory.GetFileSystemEntries($"/proc/{server.Id}/fd").Length,
                int.Parse(status["Threads"], CultureInfo.InvariantCulture),
                int.Parse(metrics.Single(l => l.StartsWith("myelin_storage_statements ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture));
        }

        public override string ToString() => $"{Memory >> 20} MiB, {Handles} handles, {Threads} threads, {Statements} statements";
    }
}
