using System.Collections.Immutable;

namespace Myelin.Hosting.Work;

/// <summary>
/// Which leases have run out, by this process's own monotonic clock: a lease is alive while its value in Storage keeps
/// changing, whatever any wall clock says, and has lapsed once looks in a row saw the same value for as long as its
/// holder may be silent. A look that comes late says nothing about the time since the one before: this process was
/// paused, Storage was away, or another process looked; then every lease has its whole time again. Used by one caller.
/// </summary>
internal sealed class LeaseWatch(TimeProvider time, TimeSpan interval, TimeSpan usual)
{
    private Dictionary<string, (DateTimeOffset Value, long Since)> _seen = new(StringComparer.Ordinal);
    private long? _looked;

    /// <summary>From look to look.</summary>
    public TimeSpan Interval => interval;

    /// <summary>Takes note of every running lease; returns those that have lapsed.</summary>
    /// <param name="asked">Timestamp from before Storage was asked: a pause before the answer must not count as silence.</param>
    /// <param name="held">What it said.</param>
    public ImmutableArray<HeldLease> Look(long asked, IReadOnlyCollection<HeldLease> held)
    {
        var answered = time.GetTimestamp();
        TimeSpan? gap = _looked is { } before ? time.GetElapsedTime(before, asked) : null;
        var seen = new Dictionary<string, (DateTimeOffset, long)>(held.Count, StringComparer.Ordinal);
        var lapsed = ImmutableArray.CreateBuilder<HeldLease>();
        foreach (var lease in held)
        {
            var silence = lease.Duration ?? usual;
            var known = gap <= interval + (silence / 3) && _seen.TryGetValue(lease.Token, out var last) && last.Value == lease.Until ? last.Since : answered;
            seen[lease.Token] = (lease.Until, known);
            if (time.GetElapsedTime(known, asked) >= silence)
            {
                lapsed.Add(lease);
            }
        }

        (_seen, _looked) = (seen, asked);
        return lapsed.DrainToImmutable();
    }
}
