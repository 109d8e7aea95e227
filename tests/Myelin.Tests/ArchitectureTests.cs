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
        ["Myelin.Hosting"] = ["Myelin.Inference"],
        ["Myelin.Serving"] = ["Myelin.Hosting", "Myelin.Inference"],
        ["Myelin.Jobs"] = ["Myelin.Serving"],
        ["Myelin.Server"] = ["Myelin.Jobs"],
    };

    /// <summary>Executables and what only they are made of.</summary>
    private static readonly string[] s_programs = ["Myelin.Hosting", "Myelin.Serving", "Myelin.Jobs", "Myelin.Server", "Myelin.Cli"];

    private static IEnumerable<string> Sources => Directory
        .EnumerateFiles(Path.Combine(Shared.Root, "src"), "*.cs", SearchOption.AllDirectories)
        .Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && !f.Contains("/bin/", StringComparison.Ordinal));

    [Fact]
    public void Projects_References_FollowTheDirection()
    {
        foreach (var (name, references) in ProjectReferences())
        {
            s_mayReference.ShouldContainKey(name, "a new project needs its place in the direction of dependencies");
            references.ShouldBeSubsetOf(s_mayReference[name], name);
        }
    }

    /// <summary>The projects of the product, and whom each refers to.</summary>
    internal static IEnumerable<(string Project, IEnumerable<string> References)> ProjectReferences() => Directory
        .EnumerateFiles(Path.Combine(Shared.Root, "src"), "*.csproj", SearchOption.AllDirectories)
        .Select(file => (
            Path.GetFileNameWithoutExtension(file),
            XDocument.Load(file).Descendants("ProjectReference").Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value))));

    /// <summary>What would close no cycle, of which <see cref="FolderGraphTests"/> finds all, and points up nevertheless.</summary>
    [Theory]
    [InlineData("Myelin.Hosting/Artifacts", "Storage|Bus")]
    [InlineData("Myelin.Serving/Models", "Accounts")]
    public void ServerFolder_Namespaces_DoNotPointUp(string folder, string forbidden)
    {
        var pattern = new Regex($@"using Myelin\.Hosting\.({forbidden})\b");
        foreach (var file in Sources.Where(f => f.Contains($"{folder}/", StringComparison.Ordinal)))
        {
            pattern.IsMatch(File.ReadAllText(file)).ShouldBeFalse(file);
        }
    }

    /// <summary>What executes a model is chosen in <c>model.yaml</c>; only these know which it is.</summary>
    [Fact]
    public void Sources_Runtimes_AreKnownOnlyToWhoMakesThem()
    {
        string[] makers = ["Myelin.Inference/Runtimes/", "Myelin.Inference/Tasks/TaskLoader.cs", "Myelin.Serving/Models/", "Myelin.Hosting/Configuration/", "Myelin.Sidecar/",
            "Myelin.Server/MyelinServer.cs"];
        var transports = new Regex(@"Myelin\.Inference\.Runtimes\.(Onnx|Uds|Http|Sidecars)\b|\b(OnnxSession|UdsRuntime|HttpRuntime|SidecarRuntime|SidecarSupervisor)\b");
        var knowing = Sources.Where(f => f.Contains("/src/Myelin.", StringComparison.Ordinal) && !makers.Any(m => f.Contains("/src/" + m, StringComparison.Ordinal)))
            .Where(f => transports.IsMatch(File.ReadAllText(f))).ToList();

        knowing.ShouldBeEmpty();
        Sources.Count(f => transports.IsMatch(File.ReadAllText(f))).ShouldBeGreaterThan(10, "the pattern finds those who may");
    }

    [Fact]
    public void Sources_AmbientTime_IsOnlyInTheCompositionRoot()
    {
        foreach (var file in Sources.Where(f => Path.GetFileName(f) != "Program.cs" && !f.Contains("/src/OnnxRuntime/", StringComparison.Ordinal)))
        {
            AmbientTimeOf(File.ReadAllText(file), s_stopwatches.Contains(Path.GetFileName(file))).ShouldBeEmpty(file);
        }
    }

    [Theory]
    [InlineData("var now = DateTimeOffset.UtcNow;")]
    [InlineData("await Task.Delay(s_pause, token);")]
    [InlineData("await Task.Delay(Math.Max(1, Next(a, b)), token);")]
    [InlineData("using var timer = new PeriodicTimer(s_interval);")]
    [InlineData("using var late = new CancellationTokenSource(s_patience);")]
    [InlineData("CancellationTokenSource late = new(s_patience);")]
    [InlineData("using var late = CancellationTokenSource.CreateLinkedTokenSource(token);\nlate.CancelAfter(s_patience);")]
    [InlineData("private readonly CancellationTokenSource _late = new();\nvoid F() => _late.CancelAfter(s_patience);")]
    [InlineData("await task.WaitAsync(s_patience, token);")]
    [InlineData("await task.WaitAsync(TimeSpan.FromSeconds(1));")]
    [InlineData("await task.WaitAsync(options.StopTimeout);")]
    [InlineData("var watch = Stopwatch.StartNew();")]
    [InlineData("var until = Environment.TickCount64 + 5;")]
    public void AmbientTimeOf_EachForm_IsFound(string code) => AmbientTimeOf(code, stopwatches: false).ShouldNotBeEmpty();

    [Theory]
    [InlineData("await Task.Delay(s_pause, house.Time, token);")]
    [InlineData("using var late = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);\nlate.CancelAfter(s_patience);")]
    [InlineData("using var end = new CancellationTokenSource();")]
    [InlineData("await task.WaitAsync(options.StopTimeout, _time, token);")]
    [InlineData("await gate.WaitAsync(token);")]
    public void AmbientTimeOf_TimeProvider_IsNotFound(string code) => AmbientTimeOf(code, stopwatches: false).ShouldBeEmpty();

    /// <summary>One rule for it: libraries always (CA2007 is an error there), programs, which have no context to resume on, never.</summary>
    [Fact]
    public void Programs_ConfigureAwait_IsNotSaid() =>
        Sources.Where(f => s_programs.Any(p => f.Contains($"/{p}/", StringComparison.Ordinal)))
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
        string[] folders = ["Jobs", "Models", "OpenTopics", "Webhooks", "Workers",
            .. new[] { "Myelin.Hosting", "Myelin.Server" }.SelectMany(p => Directory.EnumerateDirectories(Path.Combine(Shared.Root, "src", p))).Select(f => Path.GetFileName(f)!)];
        foreach (var folder in folders.Except(["bin", "obj", "wwwroot", "Properties"]))
        {
            notes.ShouldContain(folder.ToLowerInvariant(), $"docs/internals/{folder.ToLowerInvariant()}.md tells the flow, owner and guarantees");
        }
    }

    /// <summary>They measure how long a computation took and decide nothing by it.</summary>
    private static readonly string[] s_stopwatches = ["OnnxRuntime.cs", "TaskTimings.cs", "SidecarTask.cs", "ServedModel.cs"];

    /// <summary>The first place that goes by the machine's clock instead of a <see cref="TimeProvider"/>; empty where there is none.</summary>
    private static string AmbientTimeOf(string code, bool stopwatches)
    {
        var waits = Waits().Matches(code).Cast<Match>().FirstOrDefault(m => !NamesTime().IsMatch(m.Groups["given"].Value));
        return string.Concat(AmbientTime().Match(code).Value, stopwatches ? "" : MachinesStopwatch().Match(code).Value, waits?.Value, CancelsByItself().Match(code).Value);
    }

    [GeneratedRegex(@"\bDateTime(Offset)?\.(Utc)?Now\b|\bEnvironment\.TickCount|\bThread\.Sleep\b|\bnew (System\.Threading\.)?Timer\(")]
    private static partial Regex AmbientTime();

    [GeneratedRegex(@"\bStopwatch\b")]
    private static partial Regex MachinesStopwatch();

    /// <summary>What waits for a time that it is given.</summary>
    [GeneratedRegex(
        @"(Task\.Delay|new PeriodicTimer|new CancellationTokenSource|CancellationTokenSource \w+ = new)\((?<given>([^()]|\(([^()]|\([^()]*\))*\))+)\)" +
        @"|\.WaitAsync\((?<given>(TimeSpan\.\w+\([^()]*\)|s_\w+|[\w.]*(Timeout|Patience))(, [^()]*)?)\)")]
    private static partial Regex Waits();

    [GeneratedRegex(@"\b_?[tT]ime(Provider)?\b")]
    private static partial Regex NamesTime();

    /// <summary>A source that was made without a <see cref="TimeProvider"/>, a linked one among them, cancels itself by the machine's clock.</summary>
    [GeneratedRegex(@"\b(?<source>\w+) = (CancellationTokenSource\.CreateLinkedTokenSource\(|new( CancellationTokenSource)?\(\))[\s\S]*?\b\k<source>\.CancelAfter\(")]
    private static partial Regex CancelsByItself();
}
