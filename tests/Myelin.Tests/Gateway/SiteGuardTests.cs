using System.Net;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class SiteGuardTests : IAsyncLifetime
{
    private RunningServer _server = null!;

    public async ValueTask InitializeAsync() => _server = await RunningServer.StartAsync(
        o => o with { AllowedHosts = "myelin.example", AllowedOrigins = "https://studio.example" }, worker: false);

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData("127.0.0.1:{port}", 200)]
    [InlineData("localhost", 200)]
    [InlineData("LOCALHOST:{port}", 200)]
    [InlineData("app.localhost", 200)]
    [InlineData("[::1]:{port}", 200)]
    [InlineData("myelin.example:{port}", 200)]
    [InlineData("rebound.example:{port}", 421)]
    [InlineData("localhost.rebound.example", 421)]
    [InlineData("10.1.2.3", 421)]
    public async Task Host_OfEachKind(string host, int expected)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        request.Headers.Host = host.Replace("{port}", _server.Address.Port.ToString(), StringComparison.Ordinal);

        var response = await _server.Http.SendAsync(request);

        ((int)response.StatusCode).ShouldBe(expected);
        if (expected != 200)
        {
            var problem = await response.ReadProblemAsync();
            problem.Type.ShouldBe(ProblemTypes.ForeignOrigin);
            problem.Detail.ShouldNotBeNull().ShouldContain("MYELIN_ALLOWED_HOSTS");
        }
    }

    [Theory]
    [InlineData("GET", null, null, null, 200)]
    [InlineData("GET", "{self}", "same-origin", "cors", 200)]
    [InlineData("POST", "{self}", "same-origin", "cors", 415)]
    [InlineData("GET", "https://studio.example", "cross-site", "cors", 200)]
    [InlineData("GET", "https://evil.example", "cross-site", "cors", 403)]
    [InlineData("POST", "https://evil.example", "cross-site", "cors", 403)]
    [InlineData("POST", "https://evil.example", null, null, 403)]
    [InlineData("POST", "null", null, null, 403)]
    [InlineData("DELETE", "https://evil.example", null, null, 403)]
    [InlineData("GET", null, "cross-site", "no-cors", 403)]
    [InlineData("GET", null, "same-site", "no-cors", 403)]
    [InlineData("GET", null, "none", "navigate", 200)]
    [InlineData("GET", "http://127.0.0.1:1", null, null, 403)]
    public async Task Origin_OfEachKind(string method, string? origin, string? site, string? mode, int expected)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), method == "DELETE" ? "/v1/jobs/01jdq7m3cqv3a7k2zn8w6r5x4y" : method == "POST" ? "/v1/jobs" : "/v1/models");
        Add(request, "Origin", origin?.Replace("{self}", _server.Address.GetLeftPart(UriPartial.Authority), StringComparison.Ordinal));
        Add(request, "Sec-Fetch-Site", site);
        Add(request, "Sec-Fetch-Mode", mode);

        ((int)(await _server.Http.SendAsync(request)).StatusCode).ShouldBe(expected);
    }

    [Fact]
    public async Task Link_FollowedFromAnotherSite_Opens()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/docs");
        Add(request, "Sec-Fetch-Site", "cross-site");
        Add(request, "Sec-Fetch-Mode", "navigate");
        Add(request, "Sec-Fetch-Dest", "document");

        var response = await _server.Http.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        response.Headers.GetValues("Content-Security-Policy").Single().ShouldContain("frame-ancestors 'none'");
    }

    [Theory]
    [InlineData("https://studio.example", 204, true)]
    [InlineData("https://evil.example", 403, false)]
    public async Task Preflight_OnlyAllowedOriginsAreAnswered(string origin, int expected, bool allowed)
    {
        using var request = new HttpRequestMessage(HttpMethod.Options, "/v1/jobs");
        Add(request, "Origin", origin);
        Add(request, "Access-Control-Request-Method", "POST");

        var response = await _server.Http.SendAsync(request);

        ((int)response.StatusCode).ShouldBe(expected);
        response.Headers.Contains("Access-Control-Allow-Origin").ShouldBe(allowed);
    }

    private static void Add(HttpRequestMessage request, string name, string? value)
    {
        if (value is not null)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }
    }
}
