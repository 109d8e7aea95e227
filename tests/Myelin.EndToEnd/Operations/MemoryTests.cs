using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Operations;

/// <summary>Large requests to a real server: what they take is bounded, and given back.</summary>
public sealed class MemoryTests
{
    /// <summary>Longest side of the table: <c>MYELIN_LARGEST_SIDE</c>; <c>./dev e2e</c> goes to 1024.</summary>
    private static readonly int s_largest = int.Parse(Environment.GetEnvironmentVariable("MYELIN_LARGEST_SIDE") ?? "384", CultureInfo.InvariantCulture);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Table_SizesFarBeyondTheNetwork_AreMadeOrRefusedAndTheMemoryComesBack()
    {
        using var models = new TemporaryFolder();
        var large = models.Combine("large");
        Directory.CreateDirectory(large);
        Directory.CreateSymbolicLink(Path.Combine(large, "1"), Path.Combine(Shared.Root, "models", "emoji-diffusion", "1"));
        await File.WriteAllTextAsync(Path.Combine(large, "model.yaml"), "task: text-to-image\nlimits: {maxSize: 1024}\n", Token);
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["MYELIN_MODELS"] = models.Path, ["DOTNET_GCgen0size"] = "0x1000000", ["MYELIN_RUNTIME_MEMORY_BUDGET"] = $"{4L << 30}" });
        await server.StartAsync(Token);
        foreach (var side in (int[])[64, 128])
        {
            (await GenerateAsync(server, "large", side)).ShouldBeNull();
        }

        await CompatibleAsync(server);
        var start = Anonymous(server);
        foreach (var side in ((int[])[64, 128, 192, 256, 384, 512, 640, 768, 896, 1024]).Where(side => side <= s_largest))
        {
            var refusal = await GenerateAsync(server, "large", side);
            TestContext.Current.SendDiagnosticMessage($"{side}×{side}: {refusal ?? "made"}, then {Anonymous(server) >> 20} MiB of {start >> 20}");
            (refusal is null or "parameters.width").ShouldBeTrue(refusal);
            refusal.ShouldBe(side <= 512 ? null : side >= 768 ? "parameters.width" : refusal);
        }

        (await GenerateAsync(server, "emoji-diffusion", 1024)).ShouldBe("parameters.width", "not what this network is made for");
        await CompatibleAsync(server);
        var end = Anonymous(server);
        end.ShouldBeLessThan(start + start / 5, $"{start >> 20} → {end >> 20} MiB");
    }

    [Fact]
    public async Task Page_TwelveMegapixels_TakesWhatAStripTakes()
    {
        await using var server = new ServerProcess();
        await server.StartAsync(Token);
        await ReadAsync(server, Pictures.Jpeg(640, 480));
        var start = Anonymous(server);
        await File.WriteAllTextAsync($"/proc/{server.Id}/clear_refs", "5", Token); // the peak begins anew

        await ReadAsync(server, Pictures.Jpeg(4000, 3000));

        var (peak, end) = (Status(server, "VmHWM"), Anonymous(server));
        TestContext.Current.SendDiagnosticMessage($"{start >> 20} MiB, peak {peak >> 20} (with files), then {end >> 20}");
        (peak - start).ShouldBeLessThan(1L << 30);
        end.ShouldBeLessThan(start + (200L << 20)); // the pixels, which the collector has not looked at yet
    }

    /// <summary>What clients of others' APIs ask for by default works on a network of 64 pixels.</summary>
    private static async Task CompatibleAsync(ServerProcess server)
    {
        foreach (var (path, body) in ((string, object)[])[
            ("/v1/images/generations", new { model = "emoji-diffusion", prompt = "cat", size = "1024x1024", steps = 1 }),
            ("/sdapi/v1/txt2img", new { prompt = "cat", width = 512, height = 512, steps = 1, override_settings = new { sd_model_checkpoint = "emoji-diffusion" } })])
        {
            using var answer = await server.Http.PostAsJsonAsync(new Uri(path, UriKind.Relative), body, Token);
            var text = await answer.Content.ReadAsStringAsync(Token);
            answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
            text.ShouldContain("notice");
        }
    }

    /// <summary>Null once it is made, else the field that it is refused for.</summary>
    private static async Task<string?> GenerateAsync(ServerProcess server, string model, int side)
    {
        using var answer = await server.Http.PostAsJsonAsync(
            new Uri("/v1/jobs?wait=60s", UriKind.Relative), new { model, parameters = new { prompt = "cat", steps = 1, width = side, height = side, guidance = 1.5 } }, Token);
        var body = await answer.Content.ReadFromJsonAsync<JsonElement>(Token);
        while (answer.IsSuccessStatusCode && body.GetProperty("state").GetString() is ("queued" or "running"))
        {
            body = await server.Http.GetFromJsonAsync<JsonElement>(new Uri($"/v1/jobs/{body.GetProperty("id").GetString()}?wait=60s", UriKind.Relative), Token);
        }

        var problem = answer.IsSuccessStatusCode ? body.TryGetProperty("error", out var error) ? error : default : body;
        if (problem.ValueKind == JsonValueKind.Undefined)
        {
            body.GetProperty("state").GetString().ShouldBe("succeeded");
            return null;
        }

        problem.GetProperty("status").GetInt32().ShouldBeInRange(400, 499);
        return problem.GetProperty("errors").EnumerateObject().First().Name;
    }

    private static async Task ReadAsync(ServerProcess server, byte[] page)
    {
        using var form = new MultipartFormDataContent { { new StringContent("text-reader"), "model" } };
        form.Add(new ByteArrayContent(page), "image", "page.jpg");
        using var answer = await server.Http.PostAsync(new Uri("/v1/jobs?wait=60s", UriKind.Relative), form, Token);
        (await answer.Content.ReadFromJsonAsync<JsonElement>(Token)).GetProperty("state").GetString().ShouldBe("succeeded");
    }

    /// <summary>Resident memory that no file backs, in bytes.</summary>
    private static long Anonymous(ServerProcess server) => Status(server, "RssAnon");

    private static long Status(ServerProcess server, string key) => long.Parse(
        File.ReadLines($"/proc/{server.Id}/status").Single(l => l.StartsWith(key + ":", StringComparison.Ordinal)).Split(':')[1].Trim().Split(' ')[0], CultureInfo.InvariantCulture) << 10;
}
