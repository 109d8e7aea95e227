namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>How far a sidecar is. Of several processes or addresses of one model, the best state is the model's.</summary>
public enum SidecarState
{
    /// <summary>For the first time.</summary>
    Starting,

    Ready,

    /// <summary>It ended or does not answer; it is started, or asked, again.</summary>
    Restarting,

    /// <summary>Given up: it crashed too often or cannot be started.</summary>
    Broken,

    /// <summary>Finishes its last calls.</summary>
    Stopping,
}

/// <summary>One model's sidecar at a moment.</summary>
public sealed record SidecarStatus
{
    public required string Model { get; init; }

    public required string Revision { get; init; }

    /// <summary><c>uds</c> or <c>http</c>.</summary>
    public required string Transport { get; init; }

    public required SidecarState State { get; init; }

    /// <summary>Its own name for itself, such as <c>myelin-python/0.1.0</c>; null before it was ready.</summary>
    public string? Product { get; init; }

    /// <summary>The version of the network that it says it serves.</summary>
    public string? Version { get; init; }

    public required IReadOnlyList<SidecarEndpointStatus> Endpoints { get; init; }

    /// <summary>What went wrong last, where not all is well.</summary>
    public IReadOnlyList<Models.ModelError> Errors { get; init; } = [];

    public required SidecarCounters Counters { get; init; }
}

/// <summary>One process or address.</summary>
/// <param name="Address">Where it listens.</param>
/// <param name="State">Of this one.</param>
/// <param name="Pid">Null for one that others run, or that does not run.</param>
/// <param name="Restarts">Since the model was loaded.</param>
/// <param name="Calls">Under way.</param>
/// <param name="Limits">How memory and processor limits are held: <c>cgroup</c>, <c>rlimit</c> or <c>none</c>; null where none are set.</param>
/// <param name="Error">Why it is not ready, or was not the last time.</param>
/// <param name="Log">The last lines that its process wrote before <paramref name="Error"/>; for whoever manages models.</param>
public sealed record SidecarEndpointStatus(string Address, SidecarState State, int? Pid, int Restarts, int Calls, string? Limits, string? Error, string? Log);

/// <summary>Sums since the model was loaded.</summary>
/// <param name="Succeeded">Calls.</param>
/// <param name="Failed">Calls.</param>
/// <param name="Cancelled">Calls.</param>
/// <param name="Retried">Calls that were given to another process because the first one crashed.</param>
/// <param name="Restarts">Of processes and connections.</param>
/// <param name="Wait">Time that calls waited for a sidecar to be there.</param>
/// <param name="Call">Time from sending to the answer, of calls that succeeded.</param>
/// <param name="Compute">The part of <paramref name="Call"/> that the sidecars say they computed.</param>
/// <param name="RingBytes">Shared memory reserved now.</param>
/// <param name="RingUsed">Shared memory that tensors of this worker take now.</param>
public readonly record struct SidecarCounters(
    long Succeeded, long Failed, long Cancelled, long Retried, long Restarts, TimeSpan Wait, TimeSpan Call, TimeSpan Compute, long RingBytes, long RingUsed)
{
    public static SidecarCounters operator +(SidecarCounters a, SidecarCounters b) => new(
        a.Succeeded + b.Succeeded,
        a.Failed + b.Failed,
        a.Cancelled + b.Cancelled,
        a.Retried + b.Retried,
        a.Restarts + b.Restarts,
        a.Wait + b.Wait,
        a.Call + b.Call,
        a.Compute + b.Compute,
        a.RingBytes + b.RingBytes,
        a.RingUsed + b.RingUsed);
}

/// <summary>One model's sidecars over all versions that this worker has loaded.</summary>
/// <param name="Model">Its name.</param>
/// <param name="Transport"><c>uds</c> or <c>http</c>.</param>
/// <param name="Ready">Processes or addresses that take calls.</param>
/// <param name="Wanted">Processes or addresses there should be.</param>
/// <param name="Counters">Sums that only grow, but for the ring's.</param>
public sealed record SidecarTotals(string Model, string Transport, int Ready, int Wanted, SidecarCounters Counters);
