using System.Text.RegularExpressions;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests;

/// <summary>What <c>docs/decisions</c> says is about code that is there and shown by tests that are there.</summary>
public sealed partial class DecisionsTests
{
    private static readonly string s_folder = Path.Combine(Shared.Root, "docs", "decisions");

    public static TheoryData<string> Decisions { get; } = [.. Directory.EnumerateFiles(s_folder, "*.md").Select(path => Path.GetFileName(path)!).Where(name => name != "README.md").Order()];

    [Theory]
    [MemberData(nameof(Decisions))]
    public void Decision_NamesCodeAndTestsThatAreThere(string name)
    {
        var text = File.ReadAllText(Path.Combine(s_folder, name));

        var code = Sources().Matches(text).Select(match => match.Value).ToList();
        code.ShouldNotBeEmpty();
        code.ShouldAllBe(path => File.Exists(Path.Combine(Shared.Root, path)));
        text.ShouldContain("Instead of: ");
        text.ShouldContain("Shown by: ");
        foreach (Match test in Tests().Matches(text))
        {
            var source = Directory.EnumerateFiles(Path.Combine(Shared.Root, "tests"), test.Groups["class"].Value + ".cs", SearchOption.AllDirectories).ShouldHaveSingleItem();
            File.ReadAllText(source).ShouldContain($" {test.Groups["method"].Value}(", customMessage: test.Value);
        }
    }

    [Fact]
    public void Readme_ListsEveryDecision()
    {
        var readme = File.ReadAllText(Path.Combine(s_folder, "README.md"));
        foreach (var decision in Decisions)
        {
            readme.ShouldContain($"]({decision.Data})");
        }
    }

    [GeneratedRegex(@"(?<=`)(src|bench)/[\w./]+(?=`)")]
    private static partial Regex Sources();

    [GeneratedRegex(@"`(?<class>\w+Tests)\.(?<method>\w+)`")]
    private static partial Regex Tests();
}
