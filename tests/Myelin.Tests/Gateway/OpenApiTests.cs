using System.Text.Json;
using Microsoft.AspNetCore.Routing;
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

    [Fact]
    public async Task Page_NeedsNothingFromElsewhere()
    {
        foreach (var path in (string[])["/docs", "/docs/docs.js", "/docs/docs.css"])
        {
            var text = await idle.Server.Http.GetStringAsync(path);
            text.ShouldNotContain("http://");
            text.ShouldNotContain("https://");
            text.ShouldNotContain("innerHTML");
        }
    }
}
