using System.Text.Json;
using Myelin.Client;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Cli;

/// <summary>The executable against the real server.</summary>
public sealed class CommandTests
{
    private static readonly string s_portrait = Path.Combine(Shared.Root, "samples", "portrait.jpg");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Detect_Picture_PrintsFindingsAndWritesTheAnnotatedPicture()
    {
        await using var server = await RunningServer.StartAsync();
        using var folder = new TemporaryFolder();
        var result = await CliProcess.RunAsync(server.Address, "detect", s_portrait, "-m", "faces", "-o", folder.Combine("new", "faces.jpg"));

        result.Code.ShouldBe(0, result.Error);
        result.Lines.Length.ShouldBe(3);
        result.Lines.ShouldAllBe(l => l.StartsWith("face\t"));
        result.Error.ShouldContain("faces.jpg");
        File.ReadAllBytes(folder.Combine("new", "faces.jpg"))[..3].ShouldBe([0xFF, 0xD8, 0xFF]);
        Directory.GetFiles(folder.Combine("new")).Length.ShouldBe(1);
    }

    [Fact]
    public async Task Detect_SeveralByPattern_GivesOneJsonLineEachInOrder()
    {
        await using var server = await RunningServer.StartAsync();
        using var folder = new TemporaryFolder();
        foreach (var name in new[] { "b.jpg", "a.jpg", "c.txt" })
        {
            File.Copy(s_portrait, folder.Combine(name));
        }

        var result = await CliProcess.RunAsync(server.Address, "detect", folder.Combine("*.jpg"), "-m", "faces", "-o", folder.Combine("out/"), "--json");

        result.Code.ShouldBe(0, result.Error);
        var lines = result.Lines.Select(l => JsonDocument.Parse(l).RootElement).ToList();
        lines.Select(l => Path.GetFileName(l.GetProperty("file").GetString())).ShouldBe(["a.jpg", "b.jpg"]);
        lines[0].GetProperty("result").GetProperty("detections").GetArrayLength().ShouldBe(3);
        File.Exists(lines[1].GetProperty("output").GetString()).ShouldBeTrue();
    }

    [Fact]
    public async Task Detect_StandardInputAndOutput_AreAPipe()
    {
        await using var server = await RunningServer.StartAsync();
        var result = await CliProcess.RunAsync(server.Address, await File.ReadAllBytesAsync(s_portrait, Token), "detect", "-", "-p", "threshold=0.99", "--json");
        result.Code.ShouldBe(0, result.Error);
        JsonDocument.Parse(result.Output).RootElement.GetProperty("result").GetProperty("detections").GetArrayLength().ShouldBe(0);
    }

    [Theory]
    [InlineData("is the server's", "detect", "samples/portrait.jpg", "-m", "faces", "--threshold", "3")]
    [InlineData("There is no model nosuch", "detect", "samples/portrait.jpg", "-m", "nosuch")]
    [InlineData("output.decoder", "detect", "samples/portrait.jpg", "-m", "torn")]
    [InlineData("There is no file missing.jpg", "detect", "missing.jpg")]
    [InlineData("has no parameter foo", "detect", "samples/portrait.jpg", "-m", "faces", "-p", "foo=1")]
    [InlineData("is a number", "detect", "samples/portrait.jpg", "-m", "faces", "-p", "threshold=high")]
    [InlineData("must be a folder", "detect", "samples/portrait.jpg", "samples/sign.jpg", "-o", "x.jpg")]
    [InlineData("--help", "detec")]
    [InlineData("faces does object-detection", "generate", "red apple", "-m", "faces")]
    [InlineData("is not width x height", "generate", "red apple", "--size", "big")]
    public async Task WrongArguments_AreExitCodeTwoWithTheCure(string says, params string[] arguments)
    {
        await using var server = await RunningServer.StartAsync();
        var result = await CliProcess.RunAsync(server.Address, arguments);
        result.Code.ShouldBe(2, result.Error);
        result.Output.ShouldBeEmpty();
        result.Error.ShouldContain(says == "is the server's" ? "parameters.threshold" : says);
    }

    [Fact]
    public async Task Generate_SameSeed_WritesTheSamePictureAndNamesTheSeed()
    {
        await using var server = await RunningServer.StartAsync();
        using var folder = new TemporaryFolder();
        foreach (var name in new[] { "a.png", "b.png" })
        {
            var result = await CliProcess.RunAsync(
                server.Address, "generate", "red apple", "-m", "emoji-diffusion", "--steps", "4", "--seed", "7", "-o", folder.Combine(name), "--preview");
            result.Code.ShouldBe(0, result.Error);
            result.Output.ShouldBe($"{folder.Combine(name)}\tseed 7\n");
        }

        var picture = await File.ReadAllBytesAsync(folder.Combine("a.png"), Token);
        picture[..4].ShouldBe([0x89, (byte)'P', (byte)'N', (byte)'G']);
        (await File.ReadAllBytesAsync(folder.Combine("b.png"), Token)).ShouldBe(picture);
    }

    [Fact]
    public async Task OneBadPictureAmongSeveral_OthersAreAnswered()
    {
        await using var server = await RunningServer.StartAsync();
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder.Combine("bad.jpg"), "not a picture", Token);
        var result = await CliProcess.RunAsync(server.Address, "detect", folder.Combine("bad.jpg"), s_portrait, "-m", "faces");
        result.Code.ShouldNotBe(0);
        result.Lines.Length.ShouldBe(3);
        result.Error.ShouldContain("bad.jpg");
    }

    [Fact]
    public async Task NoServer_IsExitCodeThreeWithTheCure()
    {
        var result = await CliProcess.RunAsync(null, "models");
        result.Code.ShouldBe(3);
        result.Error.ShouldContain("./dev run");
        result.Output.ShouldBeEmpty();
    }

    [Fact]
    public async Task CtrlC_CancelsTheJobOnTheServer()
    {
        await using var server = await RunningServer.StartAsync(worker: false);
        using var cli = CliProcess.Start(server.Address, null, null, "detect", s_portrait, "-m", "faces");
        var client = new MyelinClient(server.Http);
        Job? job = null;
        await Wait.UntilAsync(async () => (job = await client.ListAsync(new(), Token).FirstOrDefaultAsync(Token)) is not null);

        // Queued is not yet watched: the interrupt counts in either case, and the id is known once the 202 was read.
        await Task.Delay(500, Token);
        await cli.InterruptAsync();
        var result = await cli.EndAsync();

        result.Code.ShouldBe(130);
        result.Error.ShouldContain(job!.Id);
        (await client.GetAsync(job.Id, Token)).State.ShouldBe(JobState.Cancelled);
    }

    [Fact]
    public async Task Detached_JobIsListedWatchedAndFetched()
    {
        await using var server = await RunningServer.StartAsync();
        using var folder = new TemporaryFolder();
        var id = (await CliProcess.RunAsync(server.Address, "detect", s_portrait, "-m", "faces", "--detach")).Output.Trim();

        (await CliProcess.RunAsync(server.Address, "jobs", "watch", id)).Output.ShouldContain("done in");
        (await CliProcess.RunAsync(server.Address, "jobs", "list", "--state", "succeeded")).Output.ShouldContain(id);
        (await CliProcess.RunAsync(server.Address, "jobs", "show", id)).Output.ShouldContain("annotated.jpg");
        (await CliProcess.RunAsync(server.Address, "jobs", "result", id)).Output.ShouldContain("\"detections\"");
        var fetched = await CliProcess.RunAsync(server.Address, "jobs", "fetch", id, "-o", folder.Path + "/");
        fetched.Code.ShouldBe(0, fetched.Error);
        File.Exists(folder.Combine("annotated.jpg")).ShouldBeTrue();
        (await CliProcess.RunAsync(server.Address, "jobs", "cancel", id)).Output.ShouldContain("already ended");
    }

    [Fact]
    public async Task Models_BrokenOne_IsListedWithTheReason()
    {
        await using var server = await RunningServer.StartAsync();
        var lines = (await CliProcess.RunAsync(server.Address, "models")).Lines;
        lines.ShouldContain(l => l.StartsWith("faces\tobject-detection\t"));
        lines.ShouldContain(l => l.StartsWith("torn\t") && l.Contains("broken") && l.Contains("model.yaml"));
        (await CliProcess.RunAsync(server.Address, "models", "show", "faces")).Output.ShouldContain("threshold\tnumber\t0.6\t0..1");
    }

    [Fact]
    public async Task Models_Sidecar_IsShownWithItsProcessAndReloaded()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        await using var server = await RunningServer.StartAsync(options =>
        {
            var folder = Directory.CreateDirectory(Path.Combine(options.Models!, "doubler")).FullName;
            File.WriteAllText(Path.Combine(folder, "serve.py"), "from myelin_sidecar import model, serve\nserve(model(lambda call: {}, version='7'))\n");
            var path = Path.Combine(Shared.Root, "sidecars", "python");
            File.WriteAllText(Path.Combine(folder, "model.yaml"), $"task: tensor\nruntime: uds\nsidecar: {{command: [/usr/bin/python3, serve.py], environment: {{PYTHONPATH: '{path}'}}}}\n");
            return options;
        });
        string[] shown;
        for (var end = Environment.TickCount64 + 60_000; !(shown = (await CliProcess.RunAsync(server.Address, "models", "show", "doubler")).Lines).Contains("runtime\tuds ready");)
        {
            (Environment.TickCount64 < end).ShouldBeTrue(string.Join('\n', shown));
        }

        shown.ShouldContain(l => l.StartsWith("sidecar\tmyelin-python", StringComparison.Ordinal));
        shown.ShouldContain("version\t7");
        var process = shown.Single(l => l.StartsWith("unix:", StringComparison.Ordinal)).Split('\t');
        process[2..6].ShouldBe(["ready", "0", "0", ""]);
        (await CliProcess.RunAsync(server.Address, "models")).Lines.ShouldContain(l => l.StartsWith("doubler\ttensor\tready\tuds ready", StringComparison.Ordinal));

        var reloaded = await CliProcess.RunAsync(server.Address, "models", "reload", "doubler");
        reloaded.Code.ShouldBe(0, reloaded.Error);
        reloaded.Error.ShouldContain("doubler is loaded again");
        var pid = process[1];
        for (var end = Environment.TickCount64 + 60_000; (shown = (await CliProcess.RunAsync(server.Address, "models", "show", "doubler")).Lines).Any(l => l.Contains($"\t{pid}\t", StringComparison.Ordinal)) || !shown.Contains("runtime\tuds ready");)
        {
            (Environment.TickCount64 < end).ShouldBeTrue("another process takes over");
        }

        (await CliProcess.RunAsync(server.Address, "models", "reload", "dubler")).Error.ShouldContain("did you mean 'doubler'?");
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("detect", "--help")]
    [InlineData("generate", "--help")]
    [InlineData("jobs", "fetch", "--help")]
    [InlineData("catalogue", "install", "--help")]
    public async Task Help_ShowsExamplesAndNeverTheKey(params string[] arguments)
    {
        using var cli = CliProcess.Start(null, new Dictionary<string, string> { ["MYELIN_API_KEY"] = "mk_secret_0123456789" }, null, arguments);
        var result = await cli.EndAsync();
        result.Code.ShouldBe(0);
        result.Output.ShouldContain("Examples:\n  myelin ");
        (result.Output + result.Error).ShouldNotContain("mk_secret");
    }

    [Fact]
    public async Task WrongKey_IsRefusedWithoutBeingShown()
    {
        await using var server = await RunningServer.StartAsync();
        var key = $"mk_{new string('a', 12)}_{new string('b', 52)}"; // well-formed, of no server
        using var cli = CliProcess.Start(server.Address, new Dictionary<string, string> { ["MYELIN_API_KEY"] = key }, null, "models");
        var result = await cli.EndAsync();
        result.Code.ShouldBe(2);
        result.Error.ShouldContain("key");
        (result.Output + result.Error).ShouldNotContain("bbbb");
    }
}
