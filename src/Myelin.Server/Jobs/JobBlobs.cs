namespace Myelin.Server.Jobs;

/// <summary>Names of a job's blobs. Inputs carry a prefix: a result of the same name cannot replace them.</summary>
internal static class JobBlobs
{
    public static string InputName(string name) => "input-" + name;
}
