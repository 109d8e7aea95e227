using System.IO.Compression;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Myelin.Hosting.Web;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class OpenApiTests(IdleServer idle) : IClassFixture<IdleServer>
{
    [Fact]
    public async Task Document_DescribesEveryV1Route()
    {
        using var document = JsonDocument.Parse(await idle.Server.Http.GetStringAsync("/openapi/v1.json"));
        var paths = document.RootElement.GetProperty("paths");

        var routes = idle.Server.Get<IEnumerable<EndpointDataSource>>().SelectMany(s => s.Endpoints).OfType<RouteEndpoint>()
            .Where(e => e.RoutePattern.RawText!.StartsWith("/v1", StringComparison.Ordinal));
        foreach (var route in routes)
        {
            var described = paths.TryGetProperty(route.RoutePattern.RawText!.TrimEnd('/'), out var path);
            described.ShouldBeTrue(route.RoutePattern.RawText);
            foreach (var method in route.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods)
            {
                var operation = path.GetProperty(method.ToLowerInvariant());
                operation.GetProperty("summary").GetString().ShouldNotBeNullOrEmpty();
                operation.GetProperty("responses").EnumerateObject().ShouldNotBeEmpty();
            }
        }

        var submit = paths.GetProperty("/v1/jobs").GetProperty("post");
        submit.GetProperty("parameters").EnumerateArray().Select(p => p.GetProperty("name").GetString()).ShouldContain("Idempotency-Key");
        submit.GetProperty("responses").EnumerateObject().Select(r => r.Name).ShouldBe(["200", "202", "400", "401", "403", "404", "413", "415", "422", "429", "503", "507"], ignoreOrder: true);
    }

    [Theory]
    [InlineData("gzip, deflate, br")]
    [InlineData("br")]
    [InlineData("gzip;q=0")]
    public async Task Scalar_ForAnyBrowser_ComesOnceAVersion(string encodings)
    {
        var token = TestContext.Current.CancellationToken;
        using var request = new HttpRequestMessage(HttpMethod.Get, "/docs/scalar.js");
        request.Headers.TryAddWithoutValidation("Accept-Encoding", encodings);
        using var response = await idle.Server.Http.SendAsync(request, token);
        await using var body = await response.Content.ReadAsStreamAsync(token);
        await using var plain = response.Content.Headers.ContentEncoding.Contains("gzip") ? new GZipStream(body, CompressionMode.Decompress) : body;
        using var reader = new StreamReader(plain);
        (await reader.ReadToEndAsync(token)).ShouldContain("createApiReference");

        using var again = new HttpRequestMessage(HttpMethod.Get, "/docs/scalar.js");
        again.Headers.IfNoneMatch.Add(response.Headers.ETag.ShouldNotBeNull());
        using var unchanged = await idle.Server.Http.SendAsync(again, token);
        unchanged.StatusCode.ShouldBe(HttpStatusCode.NotModified);
    }

    [Fact]
    public async Task Docs_EveryKindOfProblem_HasItsHeading()
    {
        using var document = JsonDocument.Parse(await idle.Server.Http.GetStringAsync("/openapi/v1.json"));
        var description = document.RootElement.GetProperty("info").GetProperty("description").GetString()!;
        foreach (var type in Problems.Types)
        {
            description.ShouldContain($"\n\n## {type["/problems/".Length..]}\n\n");
        }
    }
}
