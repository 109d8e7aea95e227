using System.Text.RegularExpressions;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests;

/// <summary>What docs/ARCHITECTURE.md draws and walks is what the sources are.</summary>
public sealed partial class RoadsTests
{
    private const int LongestRoad = 12;

    private static readonly string s_docs = Path.Combine(Shared.Root, "docs");

    private static readonly string s_page = File.ReadAllText(Path.Combine(s_docs, "ARCHITECTURE.md"));

    [Fact]
    public void Roads_EveryStep_NamesAMethodThatItsFileHas()
    {
        var roads = s_page[s_page.IndexOf("## Roads", StringComparison.Ordinal)..s_page.IndexOf("## Guarantees", StringComparison.Ordinal)]
            .Split("\n**", StringSplitOptions.None)[1..];

        roads.Length.ShouldBe(4);
        foreach (var road in roads)
        {
            var lines = road.Split('\n').Where(l => Step().IsMatch(l)).ToList();
            lines.Count.ShouldBeInRange(1, LongestRoad, road);
            lines.ShouldAllBe(l => Place().IsMatch(l));
            foreach (var place in lines.SelectMany(l => Place().Matches(l)))
            {
                var file = Path.GetFullPath(Path.Combine(s_docs, place.Groups["file"].Value));
                File.Exists(file).ShouldBeTrue(file);
                var code = File.ReadAllText(file);
                code.ShouldContain($" {place.Groups["type"].Value}", customMessage: place.Value);
                code.ShouldMatch($@"\b{place.Groups["method"].Value}\b", place.Value);
            }
        }
    }

    [Fact]
    public void Picture_OfTheProjects_IsThatOfTheirReferences()
    {
        var drawn = Regex.Matches(s_page, @"^  (?<from>[\w.]+) --> (?<to>[\w.]+)$", RegexOptions.Multiline)
            .Select(m => $"{m.Groups["from"].Value} --> {m.Groups["to"].Value}");
        var references = ArchitectureTests.ProjectReferences().SelectMany(p => p.References.Select(to => $"{p.Project} --> {to}"));

        drawn.ShouldBe(references, ignoreOrder: true, "./dev map draws it anew");
    }

    [GeneratedRegex(@"^\d+\. ")]
    private static partial Regex Step();

    [GeneratedRegex(@"\[`(?<type>\w+)(\.(?<method>\w+))?`\]\((?<file>[^)]+)\)")]
    private static partial Regex Place();
}
