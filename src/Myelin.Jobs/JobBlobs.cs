using System.Globalization;

namespace Myelin.Jobs;

/// <summary>Names under which a job's blobs are stored.</summary>
internal static class JobBlobs
{
    /// <summary>Inputs carry a prefix: a result of the same name cannot replace them.</summary>
    public static string InputName(string name) => "input-" + name;

    /// <summary>Results carry their attempt: one that lost its lease and finishes late cannot replace the winner's.</summary>
    public static string ResultName(int attempt, string name) => string.Create(CultureInfo.InvariantCulture, $"result-{attempt}-{name}");
}
