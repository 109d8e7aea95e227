using System.Text.Json.Nodes;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Images;

/// <summary>OpenAI's official client against the real server.</summary>
public sealed class OpenAiTests(TinyDiffusion tiny) : IClassFixture<TinyDiffusion>
{
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
