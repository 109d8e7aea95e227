using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Jobs;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

/// <summary>Calls that the server makes for a caller: inputs by URL, and the table of addresses they must not reach.</summary>
public sealed class OutboundTests
{
    [Theory]
    [InlineData("8.8.8.8", true)]
    [InlineData("2606:4700:4700::1111", true)]
    [InlineData("172.32.0.1", true)]
    [InlineData("100.128.0.1", true)]
    [InlineData("0.0.0.0", false)]
    [InlineData("10.0.0.1", false)]
    [InlineData("100.64.0.1", false)]
    [InlineData("127.0.0.1", false)]
    [InlineData("127.255.255.254", false)]
    [InlineData("169.254.169.254", false)]
    [InlineData("168.63.129.16", false)]
    [InlineData("172.16.0.1", false)]
    [InlineData("172.31.255.255", false)]
    [InlineData("192.168.0.1", false)]
    [InlineData("198.18.0.1", false)]
    [InlineData("224.0.0.1", false)]
    [InlineData("255.255.255.255", false)]
    [InlineData("::", false)]
    [InlineData("::1", false)]
    [InlineData("::ffff:10.0.0.1", false)]
    [InlineData("::ffff:8.8.8.8", true)]
    [InlineData("::127.0.0.1", false)]
    [InlineData("64:ff9b::a00:1", false)]
    [InlineData("64:ff9b::808:808", true)]
    [InlineData("2002:7f00:1::", false)]
    [InlineData("fc00::1", false)]
    [InlineData("fd00:ec2::254", false)]
    [InlineData("fe80::1", false)]
    [InlineData("ff02::1", false)]
    public void Address_IsPublicOrNot(string address, bool expected) => PublicAddress.IsPublic(IPAddress.Parse(address)).ShouldBe(expected);

    [Theory]
    [InlineData("http://127.0.0.1:1/x.jpg", "special address")]
    [InlineData("http://localhost:1/x.jpg", "special address")]
    [InlineData("http://[::ffff:127.0.0.1]:1/x.jpg", "special address")]
    [InlineData("http://2130706433/x.jpg", "special address")]
    [InlineData("http://user:pw@example.com/", "user name")]
    [InlineData("file:///etc/passwd", "http")]
    public async Task Url_IntoTheServersOwnNetwork_IsRefused(string url, string reason)
    {
        await using var server = await RunningServer.StartAsync(o => o with { Input = o.Input with { AllowUrls = true, UrlHosts = "*" } }, worker: false);

        var problem = await server.Http.PostForProblemAsync("/v1/jobs", Http.Json($$$$"""{"model":"faces","input":{"image":{"url":"{{{{url}}}}"}}}"""));

        problem.Status.ShouldBe(400);
        problem.Errors!["input.image"].ShouldContain(reason);
    }

    [Theory]
    [InlineData("/photo.jpg", 202, "")]
    [InlineData("/moved", 400, "redirects")]
    [InlineData("/missing", 400, "404")]
    [InlineData("/endless", 413, "input.maxBytes")]
    [InlineData("/slow", 400, "did not answer")]
    [InlineData("/page", 415, "no picture")]
    public async Task Url_Allowed_IsFetchedWithinLimits(string path, int status, string reason)
    {
        await using var source = await SourceAsync();
        await using var server = await RunningServer.StartAsync(
            o => o with { Input = o.Input with { AllowUrls = true, UrlHosts = "*", MaxBytes = 1 << 20, UrlTimeout = TimeSpan.FromSeconds(2) } },
            services => services.Replace(ServiceDescriptor.Singleton(p => new InputFetcher(p.GetRequiredService<BodyBudget>(), p.GetRequiredService<MyelinOptions>(), TimeProvider.System, allowPrivate: true))),
            worker: false);

        var response = await server.Http.PostAsync("/v1/jobs", Http.Json($$$"""{"model":"faces","input":{"image":"{{{source.Urls.First()}}}{{{path}}}"}}"""));

        ((int)response.StatusCode).ShouldBe(status, await response.Content.ReadAsStringAsync());
        if (status != 202)
        {
            (await response.ReadProblemAsync()).Errors!["input.image"].ShouldContain(reason);
        }
    }

    /// <summary>A small request may bring as much as the largest body.</summary>
    [Fact]
    public async Task Url_OtherInputsTakeTheMemory_IsNotFetchedAndRefusedWithARetry()
    {
        var asked = 0;
        await using var source = await SourceAsync(() => asked++);
        await using var server = await RunningServer.StartAsync(
            o => o with { Input = o.Input with { AllowUrls = true, UrlHosts = "*", MaxBytes = 1 << 20, BufferBytes = 1 << 20, UrlTimeout = TimeSpan.FromSeconds(1) } },
            services => services.Replace(ServiceDescriptor.Singleton(p => new InputFetcher(p.GetRequiredService<BodyBudget>(), p.GetRequiredService<MyelinOptions>(), TimeProvider.System, allowPrivate: true))),
            worker: false);
        var body = $$$"""{"model":"faces","input":{"image":"{{{source.Urls.First()}}}/photo.jpg"}}""";

        using (await server.Get<BodyBudget>().AcquireAsync(1 << 20, TestContext.Current.CancellationToken))
        {
            var refused = await server.Http.PostAsync("/v1/jobs", Http.Json(body));

            refused.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
            refused.Headers.RetryAfter.ShouldNotBeNull();
            (await refused.ReadProblemAsync()).Errors!["input.image"].ShouldContain("input.bufferBytes");
            asked.ShouldBe(0);
        }

        (await server.Http.PostAsync("/v1/jobs", Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        (await server.Http.PostAsync("/v1/jobs", Http.Json(body))).StatusCode.ShouldBe(HttpStatusCode.Accepted, "the memory came back");
    }

    [Fact]
    public async Task Url_OfAHostThatIsNotListed_IsRefused()
    {
        await using var server = await RunningServer.StartAsync(o => o with { Input = o.Input with { AllowUrls = true, UrlHosts = "pictures.example" } }, worker: false);

        var problem = await server.Http.PostForProblemAsync("/v1/jobs", Http.Json("""{"model":"faces","input":{"image":{"url":"https://example.com/a.jpg"}}}"""));

        problem.Errors!["input.image"].ShouldContain("pictures.example");
    }

    private static async Task<WebApplication> SourceAsync(Action? asked = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var app = builder.Build();
        app.MapGet("/photo.jpg", () =>
        {
            asked?.Invoke();
            return Results.Bytes(Pictures.Jpeg(), "image/jpeg");
        });
        app.MapGet("/moved", () => Results.Redirect("/photo.jpg"));
        app.MapGet("/page", () => Results.Text("<html>", "text/html"));
        app.MapGet("/slow", async (CancellationToken token) => await Task.Delay(Timeout.Infinite, token));
        app.MapGet("/endless", async (HttpContext context) =>
        {
            while (!context.RequestAborted.IsCancellationRequested)
            {
                await context.Response.Body.WriteAsync(new byte[65536], context.RequestAborted);
            }
        });
        await app.StartAsync();
        return app;
    }
}
