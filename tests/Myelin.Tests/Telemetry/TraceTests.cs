using System.Net;
using System.Text;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Telemetry;
using Myelin.Testing;
using Myelin.Tests.Gateway;
using Myelin.Tests.Workers;
using OpenTelemetry.Exporter;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Telemetry;

public sealed class TraceTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Traces_WithAnEndpoint_ReachIt()
    {
        var (collector, spans) = await CollectorAsync();
        await using var disposed = collector;
        await using (var server = await RunningServer.StartAsync(
            o => o with { Telemetry = o.Telemetry with { OtlpEndpoint = collector.Urls.First() } }, InstantTask.Install))
        {
            await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()), "?wait=60s");
        }

        // The stop flushed: everything is here.
        var sent = await spans();
        foreach (var name in (string[])["POST /v1/jobs", "job accept", "job run", "service.name", "myelin", "http.route", "http.response.status_code", "url.path"])
        {
            sent.ShouldContain(name);
        }
    }

    [Fact]
    public async Task Traces_CallOfAWorker_IsASpanBetweenBothProcesses()
    {
        var parent = "";
        var (collector, spans) = await CollectorAsync();
        await using var disposed = collector;
        await using var worker = await FakeWorker.StartAsync(context =>
        {
            parent = context.Request.Headers.TraceParent.ToString();
            return context.Response.WriteAsync("{}");
        });
        await using (var gateway = await FakeWorker.GatewayAsync(
            now => [FakeWorker.Row("a", worker.Address, now)], o => o with { Telemetry = o.Telemetry with { OtlpEndpoint = collector.Urls.First() } }))
        {
            using var content = new StringContent("""{"inputs":[]}""");
            using var response = await gateway.Http.PostAsync(new Uri("/v2/models/net/infer", UriKind.Relative), content, Token);
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
        }

        (await spans()).ShouldContain(Encoding.Latin1.GetString(Convert.FromHexString(parent.Split('-')[2])));
    }

    [Fact]
    public async Task Traces_WithoutAnEndpoint_NothingIsBuilt()
    {
        await using var server = await RunningServer.StartAsync(o => o, InstantTask.Install);
        server.Services.GetService(typeof(OpenTelemetry.Trace.TracerProvider)).ShouldBeNull();
    }

    [Theory]
    [InlineData("http://c:4317", "http://c:4317/", OtlpExportProtocol.Grpc)]
    [InlineData("grpc://c:9000", "http://c:9000/", OtlpExportProtocol.Grpc)]
    [InlineData("http://c:4318", "http://c:4318/v1/traces", OtlpExportProtocol.HttpProtobuf)]
    [InlineData("https://c/otlp/v1/traces", "https://c/otlp/v1/traces", OtlpExportProtocol.HttpProtobuf)]
    public void Endpoint_OfEachForm_IsUnderstood(string endpoint, string address, OtlpExportProtocol protocol)
    {
        var (uri, spoken) = TraceExport.Resolve(endpoint);

        uri.ToString().ShouldBe(address);
        spoken.ShouldBe(protocol);
    }

    /// <summary>Where traces go, and what came until now.</summary>
    private static async Task<(WebApplication Collector, Func<Task<string>> Spans)> CollectorAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var collector = builder.Build();
        var bodies = Channel.CreateUnbounded<byte[]>();
        collector.MapPost("/v1/traces", async (HttpContext context) =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            bodies.Writer.TryWrite(body.ToArray());
            return Results.Ok();
        });
        await collector.StartAsync(Token);
        return (collector, SpansAsync);

        async Task<string> SpansAsync()
        {
            bodies.Writer.Complete();
            return string.Concat(await bodies.Reader.ReadAllAsync(Token).Select(Encoding.Latin1.GetString).ToArrayAsync(Token));
        }
    }
}
