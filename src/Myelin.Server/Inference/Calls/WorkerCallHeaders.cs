using Myelin.Hosting.Accounts;

namespace Myelin.Server.Inference.Calls;

/// <summary>Headers between gateways and workers.</summary>
internal static class WorkerCallHeaders
{
    /// <summary>The cluster's key.</summary>
    public const string Key = "X-Myelin-Cluster-Key";

    /// <summary>Id of the worker that is meant: an address may have passed to another.</summary>
    public const string Worker = "X-Myelin-Worker";

    /// <summary>Where none is set, everybody has it.</summary>
    public static bool IsKey(string expected, string? given) => expected.Length == 0 || SharedSecret.Matches(expected, given);
}
