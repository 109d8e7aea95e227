using System.Text.Json;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests;

/// <summary>Whatever the published programs carry of others is named, with its licence, in <c>THIRD-PARTY-NOTICES</c>.</summary>
public sealed class NoticesTests
{
    [Fact]
    public void Notices_EveryPackageOfTheLockFiles_IsNamed()
    {
        var named = File.ReadLines(Path.Combine(Shared.Root, "THIRD-PARTY-NOTICES")).Select(line => line.Split("  ")[0]).ToHashSet(StringComparer.Ordinal);
        var shipped = Directory.EnumerateFiles(Path.Combine(Shared.Root, "src"), "packages.lock.json", SearchOption.AllDirectories).SelectMany(NuGet).Concat(Npm()).Distinct().ToList();

        shipped.Count.ShouldBeGreaterThan(20);
        shipped.Except(named).ShouldBeEmpty();
    }

    private static IEnumerable<string> NuGet(string file)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(file));
        return [.. json.RootElement.GetProperty("dependencies").EnumerateObject()
            .SelectMany(target => target.Value.EnumerateObject())
            .Where(package => package.Value.GetProperty("type").GetString() != "Project" && package.Name != "Microsoft.NET.ILLink.Tasks") // part of the SDK, works while building
            .Select(package => package.Name)];
    }

    private static IEnumerable<string> Npm()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(Shared.Root, "package.json")));
        return [.. json.RootElement.GetProperty("dependencies").EnumerateObject().Select(package => package.Name)];
    }
}
