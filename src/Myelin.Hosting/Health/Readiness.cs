namespace Myelin.Hosting.Health;

/// <summary>Why a capability stands in the way of work now; its registration brings it.</summary>
/// <param name="Capability">One word.</param>
/// <param name="Reason">A sentence; null while all is well. Called at every look at <c>/health/ready</c>, by any thread: reads what is known, waits for nothing.</param>
internal sealed record ReadinessProbe(string Capability, Func<string?> Reason);

/// <summary>Whether this process should get work: every capability's probe, the start, the end, and what cannot be mended.</summary>
internal sealed class Readiness(IHostApplicationLifetime lifetime, IEnumerable<ReadinessProbe> probes, FatalErrors fatal)
{
    private readonly ReadinessProbe[] _probes = [.. probes.OrderBy(p => p.Capability, StringComparer.Ordinal)];

    public Protocol.Health Check()
    {
        var reasons = new List<string>();
        foreach (var probe in _probes)
        {
            if (probe.Reason() is { } reason)
            {
                reasons.Add($"{probe.Capability}: {reason}");
            }
        }

        if (!lifetime.ApplicationStarted.IsCancellationRequested)
        {
            reasons.Add("starting");
        }

        if (fatal.First is { } failed)
        {
            reasons.Add(failed);
        }

        if (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            reasons.Add("shutting down");
        }

        return new Protocol.Health(reasons.Count == 0 ? "ready" : "unready", reasons);
    }
}
