using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Starting;

/// <summary>
/// <c>./dev run</c> on a machine that has the .NET SDK and nothing of Node: a tree whose build is this one's without what
/// npm brings, and a PATH of all programs but Node's.
/// </summary>
public sealed class WithoutNodeTests : IDisposable
{
    private static readonly string[] s_node = ["node", "nodejs", "npm", "npx", "corepack"];

    private readonly TemporaryFolder _tree = new();

    public void Dispose() => _tree.Dispose();

    [Fact]
    public async Task DevRun_MachineWithoutNode_SaysWhatIsMissingAndServesTheRest()
    {
        var token = TestContext.Current.CancellationToken;
        Checkout();
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["PATH"] = Programs() })
        {
            Through = [_tree.Combine("dev")],
            Program = "run",
        };
        await server.StartAsync(token);

        server.Log.ShouldContain("no npm here: the built-in networks faces and text-reader");
        server.Log.ShouldContain("Install Node.js");
        server.Log.ShouldNotContain("building ");
        var models = (await server.Http.GetFromJsonAsync<JsonElement>(new Uri("/v1/models", UriKind.Relative), token)).GetProperty("data").EnumerateArray().ToDictionary(m => m.GetProperty("name").GetString()!);
        foreach (var missing in (string[])["faces", "text-reader"])
        {
            models[missing].GetProperty("state").GetString().ShouldBe("broken");
            models[missing].GetProperty("errors").ToString().ShouldContain("install Node.js 20 or newer");
        }

        using var refused = await server.Http.PostAsJsonAsync(new Uri("/v1/jobs", UriKind.Relative), new { model = "faces", input = new { } }, token);
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);

        using var drawn = await server.Http.PostAsJsonAsync(
            new Uri("/v1/jobs?wait=60s", UriKind.Relative), new { model = "emoji-diffusion", parameters = new { prompt = "red apple", steps = 2 } }, token);
        (await drawn.Content.ReadFromJsonAsync<JsonElement>(token)).GetProperty("state").GetString().ShouldBe("succeeded", server.Log);
        (await server.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0, server.Log);
    }

    /// <summary>What ./dev looks at: its lock file, a build younger than every source, and the program.</summary>
    private void Checkout()
    {
        var build = Path.GetDirectoryName(ServerProcess.Executable)!;
        var mine = _tree.Combine("src", "Myelin.Server", "bin", "Release", "net10.0");
        foreach (var file in Directory.EnumerateFiles(build, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(build, f)))
        {
            if (file.Split('/') is ["models", "faces" or "text-reader", "1", ..] or ["fonts", "DejaVuSans-Bold.ttf"])
            {
                continue; // from npm
            }

            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(mine, file))!);
            File.Copy(Path.Combine(build, file), Path.Combine(mine, file));
        }

        File.Copy(Path.Combine(Shared.Root, "dev"), _tree.Combine("dev"));
        File.Copy(Path.Combine(Shared.Root, "package-lock.json"), _tree.Combine("package-lock.json"));
        Directory.CreateDirectory(_tree.Combine(".cache"));
        File.WriteAllText(_tree.Combine(".cache", "server.stamp"), "");
    }

    private string Programs()
    {
        var folder = Directory.CreateDirectory(_tree.Combine("programs")).FullName;
        foreach (var program in Environment.GetEnvironmentVariable("PATH")!.Split(':').Where(Directory.Exists).SelectMany(Directory.EnumerateFiles))
        {
            var link = Path.Combine(folder, Path.GetFileName(program));
            if (!s_node.Contains(Path.GetFileName(program)) && !File.Exists(link))
            {
                File.CreateSymbolicLink(link, program);
            }
        }

        return folder;
    }
}
