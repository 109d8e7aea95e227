using System.Collections.Concurrent;

namespace Myelin.Jobs.Attempts;

/// <summary>The attempts of this worker by job: who a cancel, a heartbeat or a shutdown speaks to.</summary>
internal sealed class RunningJobs
{
    private readonly ConcurrentDictionary<string, RunningJob> _jobs = new(StringComparer.Ordinal);

    public int Count => _jobs.Count;

    /// <summary>Known from before its claim on, so that a cancel right after the claim finds it.</summary>
    /// <returns>False while another attempt of this process still runs: a late hint must not push it out of sight.</returns>
    public bool TryAdd(RunningJob job) => _jobs.TryAdd(job.Id, job);

    public void Remove(RunningJob job) => _jobs.TryRemove(new KeyValuePair<string, RunningJob>(job.Id, job));

    /// <summary>Whatever attempt of the job runs: the job itself was cancelled.</summary>
    public void Stop(string id, StopReason reason)
    {
        if (_jobs.TryGetValue(id, out var job))
        {
            job.Stop(reason);
        }
    }

    /// <summary>This attempt and no later one: what Storage says of a lease may come after the job was claimed anew.</summary>
    public void Stop(string id, string token, StopReason reason) => Find(id, token)?.Stop(reason);

    /// <summary>The attempt with this lease, if it is still under way.</summary>
    public RunningJob? Find(string id, string token) => _jobs.TryGetValue(id, out var job) && job.LeaseToken == token ? job : null;

    public void StopAll(StopReason reason)
    {
        foreach (var job in _jobs.Values)
        {
            job.Stop(reason);
        }
    }

    /// <summary>Id and token of every claimed attempt.</summary>
    public IReadOnlyCollection<(string Id, string Token)> Leases() => [.. _jobs.Values.Where(j => j.Record is not null).Select(j => (j.Id, j.LeaseToken))];
}
