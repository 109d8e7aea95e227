using System.Collections.Concurrent;
using System.Collections.Immutable;
using Myelin.Hosting.Configuration;
using Myelin.Serving.Registry;

namespace Myelin.Server.Inference.Calls;

/// <summary>
/// A gateway's lines to the workers, made as they are needed and closed once their worker is gone. Chooses who gets a
/// call: of those that have the model loaded the least loaded, by calls of this gateway and jobs of all, per job that it
/// can run at a time; one that has to load the model only where nobody has.
/// </summary>
internal sealed class WorkerLinks(WorkerDirectory workers, MyelinOptions options, TimeProvider time) : IDisposable
{
    private readonly ConcurrentDictionary<(string Id, DateTimeOffset StartedAt), WorkerLink> _links = [];
    private ImmutableArray<WorkerRow> _seen = [];

    /// <summary>Calls of this gateway that workers have now.</summary>
    public int InFlight => _links.Values.Sum(l => l.InFlight);

    /// <summary>The next worker to try; null when there is none left.</summary>
    /// <param name="model">Its name.</param>
    /// <param name="tried">Ids that are out of question.</param>
    public (WorkerRow Worker, WorkerLink Link)? Choose(string model, IReadOnlySet<string> tried)
    {
        var live = workers.Live;
        Close(live);
        (WorkerRow Worker, WorkerLink Link)? best = null;
        var least = (Avoided: true, Cold: true, Load: double.MaxValue, Turn: int.MaxValue);
        foreach (var worker in live.Where(w => !tried.Contains(w.Id)))
        {
            if (StateOf(worker, model) is not { } state || Link(worker) is not { } link)
            {
                continue;
            }

            // The turn decides among equals, so that several gateways do not all pick the same one.
            var load = (link.InFlight + worker.Running) / (double)Math.Max(worker.Capacity, 1);
            var rank = (link.IsAvoided, Cold: state != "ready", load, Random.Shared.Next());
            if (best is null || rank.CompareTo(least) < 0)
            {
                (best, least) = ((worker, link), rank);
            }
        }

        return best;
    }

    public void Dispose()
    {
        foreach (var link in _links.Values)
        {
            link.Dispose();
        }
    }

    /// <summary>As <see cref="Model.State"/>; null where the worker cannot run it.</summary>
    private static string? StateOf(WorkerRow worker, string model) =>
        worker.Models.FirstOrDefault(m => m.Name == model)?.State is { } state and not "broken" ? state : null;

    private WorkerLink? Link(WorkerRow worker)
    {
        var name = (worker.Id, worker.StartedAt);
        if (_links.TryGetValue(name, out var known))
        {
            return known;
        }

        if (WorkerLink.To(worker, options.Calls, time) is not { } made)
        {
            return null;
        }

        var kept = _links.GetOrAdd(name, made);
        if (kept != made)
        {
            made.Dispose();
        }

        return kept;
    }

    /// <summary>Closes lines to workers that are gone, once no call is on them.</summary>
    private void Close(ImmutableArray<WorkerRow> live)
    {
        if (live == _seen)
        {
            return;
        }

        _seen = live;
        foreach (var (name, link) in _links)
        {
            if (link.InFlight == 0 && !live.Any(w => (w.Id, w.StartedAt) == name) && _links.TryRemove(name, out _))
            {
                link.Dispose();
            }
        }
    }
}
