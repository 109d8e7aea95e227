using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Streams;

/// <summary>docs/kafka.md is the contract of programs that only speak Kafka; it must say what the code does.</summary>
public sealed partial class KafkaGuideTests
{
    private static readonly string s_guide = File.ReadAllText(Path.Combine(Shared.Root, "docs", "kafka.md"));

    private static List<JsonElement> Schemas => [.. Fences().Matches(s_guide).Select(m => m.Groups[1].Value).Where(t => t.Contains("\"properties\"", StringComparison.Ordinal)).Select(t => JsonDocument.Parse(t).RootElement)];

    [Fact]
    public void Schema_OfAJob_HasTheFieldsThatAreTaken() =>
        Names(Schemas[0].GetProperty("properties")).ShouldBe(Properties(typeof(JobRequest)), ignoreOrder: true);

    [Fact]
    public void Schema_OfASignal_HasTheFieldsThatAreSent()
    {
        var schema = Schemas[1];
        Names(schema.GetProperty("properties")).ShouldBe(Properties(typeof(JobSignal)), ignoreOrder: true);
        Names(schema.GetProperty("properties").GetProperty("progress").GetProperty("properties")).ShouldBe(Properties(typeof(JobProgress)), ignoreOrder: true);
        Texts(schema.GetProperty("properties").GetProperty("kind").GetProperty("enum")).ShouldBe(Enum.GetNames<JobSignalKind>().Select(JsonNamingPolicy.CamelCase.ConvertName));
        Texts(schema.GetProperty("properties").GetProperty("state").GetProperty("enum")).ShouldBe(Enum.GetNames<JobState>().Select(JsonNamingPolicy.CamelCase.ConvertName));
        Texts(schema.GetProperty("required")).ShouldBe(
            typeof(JobSignal).GetProperties().Where(p => p.IsDefined(typeof(System.Runtime.CompilerServices.RequiredMemberAttribute))).Select(p => JsonNamingPolicy.CamelCase.ConvertName(p.Name)));
    }

    [Fact]
    public void Settings_ThatAreNamed_AreThere()
    {
        var named = Settings().Matches(s_guide).Select(m => (Section: m.Groups[1].Value, Name: m.Groups[2].Value)).Distinct().ToList();
        named.Count.ShouldBeGreaterThan(8);
        foreach (var (section, name) in named)
        {
            Properties(section switch { "bus.kafka" => typeof(KafkaOptions), "openTopics" => typeof(OpenTopicsOptions), _ => typeof(InputOptions) }).ShouldContain(name);
        }
    }

    [Fact]
    public void Problems_ThatAreNamed_AreThere()
    {
        var types = typeof(ProblemTypes).GetFields(BindingFlags.Public | BindingFlags.Static).Select(f => (string)f.GetRawConstantValue()!).ToHashSet();
        var named = ProblemNames().Matches(s_guide).Select(m => m.Value).Distinct().ToList();
        named.Count.ShouldBeGreaterThan(8);
        named.ShouldBeSubsetOf(types);
    }

    [Fact]
    public void Instruments_OfBusAndStreams_AreExplained()
    {
        var text = s_guide + string.Concat(new[] { "bus", "opentopics" }.Select(n => File.ReadAllText(Path.Combine(Shared.Root, "docs", "internals", n + ".md"))));
        var instruments = new[] { "Myelin.Hosting/Bus", "Myelin.Jobs/OpenTopics" }
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(Shared.Root, "src", folder), "*.cs", SearchOption.AllDirectories))
            .SelectMany(file => Instruments().Matches(File.ReadAllText(file)))
            .Select(m => m.Groups[1].Value)
            .ToList();
        instruments.Count.ShouldBeGreaterThan(10);
        foreach (var name in instruments)
        {
            text.ShouldContain(name);
        }
    }

    private static IEnumerable<string> Properties(Type type) => type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.Name != "EqualityContract").Select(p => JsonNamingPolicy.CamelCase.ConvertName(p.Name));

    private static IEnumerable<string> Names(JsonElement element) => element.EnumerateObject().Select(p => p.Name);

    private static IEnumerable<string> Texts(JsonElement element) => element.EnumerateArray().Select(e => e.GetString()!);

    [GeneratedRegex("```json\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Fences();

    [GeneratedRegex(@"`(bus\.kafka|openTopics|input)\.(\w+)`")]
    private static partial Regex Settings();

    [GeneratedRegex(@"/problems/[a-z-]+")]
    private static partial Regex ProblemNames();

    [GeneratedRegex(@"""myelin\.(?:bus|streams)\.([a-z_]+)""")]
    private static partial Regex Instruments();
}
