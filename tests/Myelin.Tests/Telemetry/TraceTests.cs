using System.Text;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Myelin.Server.Telemetry;
using Myelin.Testing;
using Myelin.Tests.Gateway;
using OpenTelemetry.Exporter;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Telemetry;

public sealed class TraceTests
{
    [Fact]
    public async Task Traces_WithAnEndpoint_ReachIt()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        await using var collector = builder.Build();
        var bodies = Channel.CreateUnbounded<byte[]>();
        collector.MapPost("/v1/traces", async (HttpContext context) =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            bodies.Writer.TryWrite(body.ToArray());
            return Results.Ok();
        });
        await collector.StartAsync(TestContext.Current.CancellationToken);
        await using (var server = await RunningServer.StartAsync(
            o => o with { Telemetry = o.Telemetry with { OtlpEndpoint = collector.Urls.First() } }, InstantTask.Install))
        {
            await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()), "?wait=60s");
        }

        // The stop flushed: everything is here.
        bodies.Writer.Complete();
        var spans = string.Concat(await bodies.Reader.ReadAllAsync(TestContext.Current.CancellationToken).Select(Encoding.Latin1.GetString).ToArrayAsync(TestContext.Current.CancellationToken));
        foreach (var name in (string[])["POST /v1/jobs", "job accept", "job run", "service.name", "myelin"])
        {
            spans.ShouldContain(name);
        }
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
}
