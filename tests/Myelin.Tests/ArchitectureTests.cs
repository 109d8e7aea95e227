using System.Text.RegularExpressions;
using System.Xml.Linq;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests;

/// <summary>Reads the sources and holds them to docs/ARCHITECTURE.md: who may know whom, and the bans.</summary>
public sealed partial class ArchitectureTests
{
    private static readonly Dictionary<string, string[]> s_mayReference = new()
    {
        ["Myelin.Protocol"] = [],
        ["Myelin.Client"] = ["Myelin.Protocol"],
        ["Myelin.Cli"] = ["Myelin.Client"],
        ["Myelin.Inference"] = ["Myelin.Protocol"],
        ["Myelin.Sidecar"] = ["Myelin.Protocol", "Myelin.Inference"],
        ["Myelin.Server"] = ["Myelin.Inference"],
    };

    private static IEnumerable<string> Sources => Directory
        .EnumerateFiles(Path.Combine(Shared.Root, "src"), "*.cs", SearchOption.AllDirectories)
        .Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && !f.Contains("/bin/", StringComparison.Ordinal));

    [Fact]
    public void Projects_References_FollowTheDirection()
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(Shared.Root, "src"), "*.csproj", SearchOption.AllDirectories))
        {
            var name = Path.GetFileNameWithoutExtension(file);
            var references = XDocument.Load(file).Descendants("ProjectReference")
                .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value));

            s_mayReference.ShouldContainKey(name, "a new project needs its place in the direction of dependencies");
            references.ShouldBeSubsetOf(s_mayReference[name], name);
        }
    }

    [Theory]
    [InlineData("Bus", "Jobs.JobService|Workers|Models")]
    [InlineData("Artifacts", "Jobs.JobService|Workers|Storage|Bus")]
    [InlineData("Models", "Workers|Accounts")]
    public void ServerFolder_Namespaces_DoNotPointUp(string folder, string forbidden)
    {
        var pattern = new Regex($@"using Myelin\.Server\.({forbidden})\b");
        foreach (var file in Sources.Where(f => f.Contains($"Myelin.Server/{folder}/", StringComparison.Ordinal) && !f.EndsWith("Endpoints.cs", StringComparison.Ordinal)))
        {
            pattern.IsMatch(File.ReadAllText(file)).ShouldBeFalse(file);
        }
    }

    /// <summary>What executes a model is chosen in <c>model.yaml</c>; only these know which it is.</summary>
    [Fact]
    public void Sources_Runtimes_AreKnownOnlyToWhoMakesThem()
    {
        string[] makers = ["Myelin.Inference/Runtimes/", "Myelin.Inference/Tasks/TaskLoader.cs", "Myelin.Server/Models/", "Myelin.Server/Configuration/", "Myelin.Sidecar/",
            "Myelin.Server/MyelinServer.cs", "Myelin.Inference/Imaging/Vips/Fonts.cs"]; // the native library's environment variables
        var transports = new Regex(@"Myelin\.Inference\.Runtimes\.(Onnx|Uds|Http|Sidecars)\b|\b(OnnxSession|UdsRuntime|HttpRuntime|SidecarRuntime|SidecarSupervisor)\b");
        var knowing = Sources.Where(f => f.Contains("/src/Myelin.", StringComparison.Ordinal) && !makers.Any(m => f.Contains("/src/" + m, StringComparison.Ordinal)))
            .Where(f => transports.IsMatch(File.ReadAllText(f))).ToList();

        knowing.ShouldBeEmpty();
        Sources.Count(f => transports.IsMatch(File.ReadAllText(f))).ShouldBeGreaterThan(10, "the pattern finds those who may");
    }

    [Fact]
    public void Sources_AmbientTime_IsOnlyInTheCompositionRoot()
    {
        foreach (var file in Sources.Where(f => Path.GetFileName(f) != "Program.cs"))
        {
            AmbientTime().Match(File.ReadAllText(file)).Value.ShouldBeEmpty(file);
        }
    }

    /// <summary>One rule for it: libraries always (CA2007 is an error there), programs, which have no context to resume on, never.</summary>
    [Fact]
    public void Programs_ConfigureAwait_IsNotSaid() =>
        Sources.Where(f => f.Contains("/Myelin.Server/", StringComparison.Ordinal) || f.Contains("/Myelin.Cli/", StringComparison.Ordinal))
            .Where(f => File.ReadAllText(f).Contains("ConfigureAwait(false)", StringComparison.Ordinal))
            .ShouldBeEmpty();

    [Fact]
    public void Sources_NoRegionsAndNoCatchAllFolders()
    {
        foreach (var file in Sources)
        {
            File.ReadAllText(file).ShouldNotContain("#region", Case.Sensitive, file);
            file.Split('/').ShouldNotContain(part => part == "Utilities" || part == "Common" || part == "Helpers" || part == "Services", file);
        }
    }

    [Fact]
    public void EndpointsAndTasks_EveryServerCapability_HasAnInternalsNote()
    {
        var notes = Directory.EnumerateFiles(Path.Combine(Shared.Root, "docs", "internals"), "*.md").Select(f => Path.GetFileNameWithoutExtension(f)!).ToHashSet();
        foreach (var folder in Directory.EnumerateDirectories(Path.Combine(Shared.Root, "src", "Myelin.Server")).Select(f => Path.GetFileName(f)!))
        {
            if (folder is not ("bin" or "obj" or "wwwroot" or "Properties"))
            {
                notes.ShouldContain(folder.ToLowerInvariant(), $"docs/internals/{folder.ToLowerInvariant()}.md tells the flow, owner and guarantees");
            }
        }
    }

    [GeneratedRegex(@"\bDateTime(Offset)?\.(Utc)?Now\b")]
    private static partial Regex AmbientTime();
}
