using System.Collections.Concurrent;
using System.Net;

namespace Myelin.Hosting.Accounts;

/// <summary>
/// Slows down guessing: each address may fail <see cref="Limit"/> times a minute before its failures are answered with
/// 429. A valid key always passes, so that one careless client does not lock out its neighbours behind the same address;
/// 256 random bits are not guessed either way. Holds at most <see cref="MaxAddresses"/> addresses.
/// </summary>
internal sealed class FailedAttempts(TimeProvider time)
{
    public const int Limit = 20;
    private const int MaxAddresses = 10_000;
    private static readonly TimeSpan s_window = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<IPAddress, Count> _counts = new();

    /// <summary>Whether the next failure is one too many.</summary>
    public bool IsOver(IPAddress? address) => _counts.TryGetValue(address ?? IPAddress.None, out var count)
        ? count.Failures >= Limit && time.GetElapsedTime(count.Since) <= s_window
        : _counts.Count >= MaxAddresses;

    /// <summary>Notes a failure; the time to wait when it is one too many.</summary>
    public TimeSpan? Note(IPAddress? address)
    {
        var now = time.GetTimestamp();
        if (_counts.Count >= MaxAddresses)
        {
            foreach (var (old, entry) in _counts)
            {
                if (time.GetElapsedTime(entry.Since, now) > s_window)
                {
                    _counts.TryRemove(old, out _);
                }
            }

            if (_counts.Count >= MaxAddresses)
            {
                return s_window; // an attack from everywhere: failures wait, keys pass
            }
        }

        var count = _counts.AddOrUpdate(
            address ?? IPAddress.None,
            static (_, now) => new Count(now, 1),
            (_, old, now) => time.GetElapsedTime(old.Since, now) > s_window ? new Count(now, 1) : old with { Failures = old.Failures + 1 },
            now);
        return count.Failures > Limit ? s_window - time.GetElapsedTime(count.Since, now) : null;
    }

    private sealed record Count(long Since, int Failures);
}
