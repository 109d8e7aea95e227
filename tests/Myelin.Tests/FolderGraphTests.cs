using ArchUnitNET.Domain;
using ArchUnitNET.Domain.Dependencies;
using ArchUnitNET.Loader;
using Shouldly;
using Xunit;
using Assembly = System.Reflection.Assembly;

namespace Myelin.Tests;

/// <summary>
/// Folders of a project have no cycle: the graph of who uses whom is read from the compiled assemblies (a folder is a
/// namespace), level by level. What stands in a folder itself may know the folders below it, and they it.
/// </summary>
public sealed class FolderGraphTests
{
    [Fact]
    public void Folders_References_CloseNoCycle() =>
        Projects.SelectMany(CyclesOf).Order(StringComparer.Ordinal).ShouldBeEmpty("these references close a cycle between folders");

    /// <summary>The search itself: a triangle and what hangs on it.</summary>
    [Fact]
    public void OnCycles_TriangleWithATail_IsTheTriangle() =>
        OnCycles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")]).ShouldBe([("a", "b"), ("b", "c"), ("c", "a")], ignoreOrder: true);

    private static IEnumerable<Assembly> Projects => [typeof(global::Myelin.Protocol.Job).Assembly, typeof(global::Myelin.Client.MyelinClient).Assembly, typeof(global::Myelin.Cli.CommandLine).Assembly, typeof(global::Myelin.Inference.Tasks.ITask).Assembly, typeof(global::Myelin.Hosting.Configuration.MyelinOptions).Assembly, typeof(global::Myelin.Serving.Models.ModelRepository).Assembly, typeof(global::Myelin.Jobs.JobService).Assembly, typeof(global::Myelin.Server.MyelinServer).Assembly, typeof(global::Myelin.Sidecar.SidecarHost).Assembly];

    /// <summary>`Folder → Folder`, both directly below the same folder, each leading back to the other.</summary>
    private static IEnumerable<string> CyclesOf(Assembly project)
    {
        var architecture = new ArchLoader().LoadAssembly(project).Build();
        var references = architecture.Types
            .SelectMany(type => type.Dependencies.Where(NamesItsTarget).Select(dependency => (From: Folder(type), To: Folder(dependency.Target))))
            .Where(reference => reference is { From: not null, To: not null })
            .Select(reference => Siblings(reference.From!, reference.To!))
            .OfType<(string Parent, string From, string To)>()
            .Distinct();
        foreach (var level in references.GroupBy(reference => reference.Parent))
        {
            foreach (var (from, to) in OnCycles([.. level.Select(reference => (reference.From, reference.To))]))
            {
                yield return $"{level.Key}: {from} → {to}";
            }
        }
    }

    /// <summary>A type parameter is found by its name alone, which another folder's may have too.</summary>
    private static bool NamesItsTarget(ITypeDependency dependency) => dependency.Target is not GenericParameter;

    private static string? Folder(IType type) =>
        type.Namespace?.FullName is { } name && name.StartsWith("Myelin.", StringComparison.Ordinal) ? name : null;

    /// <summary>Where two namespaces part: their common parent and the folder of each below it; null where one contains the other.</summary>
    private static (string Parent, string From, string To)? Siblings(string from, string to)
    {
        var (a, b) = (from.Split('.'), to.Split('.'));
        var common = 0;
        while (common < a.Length && common < b.Length && a[common] == b[common])
        {
            common++;
        }

        // Below two segments it is another project.
        return common >= 2 && common < a.Length && common < b.Length ? (string.Join('.', a[..common]), a[common], b[common]) : null;
    }

    /// <summary>The edges from whose end their beginning can be reached.</summary>
    private static List<(string From, string To)> OnCycles(IReadOnlyCollection<(string From, string To)> edges)
    {
        var next = edges.ToLookup(edge => edge.From, edge => edge.To);
        return [.. edges.Where(edge => Reaches(edge.To, edge.From))];

        bool Reaches(string from, string to)
        {
            var seen = new HashSet<string>();
            var open = new Stack<string>([from]);
            while (open.TryPop(out var folder))
            {
                if (folder == to)
                {
                    return true;
                }

                if (seen.Add(folder))
                {
                    foreach (var other in next[folder])
                    {
                        open.Push(other);
                    }
                }
            }

            return false;
        }
    }
}
