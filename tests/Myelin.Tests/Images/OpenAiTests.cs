using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Images;

/// <summary>OpenAI's official client against the real server.</summary>
public sealed class OpenAiTests(TinyDiffusion tiny) : IClassFixture<TinyDiffusion>
{
    /// <summary>Every way in over HTTP keeps the promise of a key: no seed is given, and the repeat has the same picture.</summary>
    [Theory]
    [InlineData("/v1/images/generations")]
    [InlineData("/sdapi/v1/txt2img")]
    public async Task Generate_TwiceWithOneIdempotencyKey_IsOneJob(string door)
    {
        var server = tiny.Require();
        var key = Guid.NewGuid().ToString();

        var (first, replayed, body) = await SendAsync("a red cat", key);
        (first, replayed).ShouldBe((HttpStatusCode.OK, false), body);
        (await SendAsync("a red cat", key)).ShouldBe((HttpStatusCode.OK, true, body));
        (await SendAsync("a blue cat", key)).Status.ShouldBe(HttpStatusCode.UnprocessableEntity);
        (await SendAsync("a red cat", new string('k', 201))).Status.ShouldBe(HttpStatusCode.BadRequest);
        (await SendAsync("a red cat", Guid.NewGuid().ToString())).Body.ShouldNotBe(body);

        async Task<(HttpStatusCode Status, bool Replayed, string Body)> SendAsync(string prompt, string key)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(door, UriKind.Relative)) { Content = JsonContent.Create(new { prompt, model = TinyDiffusion.Model, steps = 1 }) };
            request.Headers.Add("Idempotency-Key", key);
            using var response = await server.Http.SendAsync(request, TestContext.Current.CancellationToken);
            var json = JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
            return (response.StatusCode, response.Headers.Contains("Idempotency-Replayed"), (json["data"] ?? json["images"])?.ToJsonString() ?? "");
        }
    }

    [Fact]
    public async Task Client_ListsGeneratesStreamsAndReadsErrors()
    {
        var server = tiny.Require();

        var seen = JsonNode.Parse(await NodeClients.RunAsync("openai.mjs", new Uri(server.Address, "/v1").ToString(), TinyDiffusion.Model))!;

        seen["models"]!.AsArray().ShouldContain(m => m!["id"]!.GetValue<string>() == TinyDiffusion.Model && m["owned_by"]!.GetValue<string>() == "myelin");
        seen["count"]!.GetValue<int>().ShouldBe(2);
        seen["png"]!.AsArray().Select(p => p!.GetValue<string>()).ShouldAllBe(p => p == "PNG");
        seen["same"]!.GetValue<bool>().ShouldBeTrue("the same seed, by URL and inline");
        seen["jpeg"]!.GetValue<string>().ShouldBe("ffd8");
        var events = seen["events"]!.AsArray().Select(e => e!["type"]!.GetValue<string>()).ToList();
        events[^1].ShouldBe("image_generation.completed");
        events[..^1].ShouldAllBe(e => e == "image_generation.partial_image");
        events.Count.ShouldBeLessThanOrEqualTo(3);
        (seen["large"]!["width"]!.GetValue<int>(), seen["large"]!["height"]!.GetValue<int>()).ShouldBe((1536, 1024));
        seen["large"]!["notice"]!.GetValue<string>().ShouldContain("80×64");
        seen["error"]!["status"]!.GetValue<int>().ShouldBe(400);
        seen["error"]!["type"]!.GetValue<string>().ShouldBe("invalid_request_error");
        seen["error"]!["param"]!.GetValue<string>().ShouldBe("width");
        seen["unknown"]!["status"]!.GetValue<int>().ShouldBe(404);
        seen["unknown"]!["param"]!.GetValue<string>().ShouldBe("model");
    }
}
