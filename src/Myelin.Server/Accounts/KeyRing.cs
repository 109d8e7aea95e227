using System.Collections.Concurrent;
using System.Security.Cryptography;

namespace Myelin.Server.Accounts;

internal enum KeyVerdict
{
    Valid,
    Malformed,
    Unknown,
    Revoked,
}

/// <summary>
/// Checks keys without a read of the database per request: a key read is trusted for <see cref="Freshness"/>, so a
/// revocation (also by another process) counts within that time. Any thread; the cache holds only keys that exist.
/// </summary>
internal sealed partial class KeyRing(IKeyStore store, TimeProvider time, ILogger<KeyRing> logger)
{
    public static readonly TimeSpan Freshness = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_touchInterval = TimeSpan.FromMinutes(1);
    private static readonly byte[] s_noHash = new byte[SHA256.HashSizeInBytes];

    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    /// <param name="text">As the caller sent it.</param>
    /// <param name="cancellationToken">Ends the read.</param>
    public ValueTask<(KeyVerdict Verdict, Caller? Caller)> CheckAsync(string text, CancellationToken cancellationToken)
    {
        if (!ApiKeyText.TryParse(text, out var id, out var secret))
        {
            return new((KeyVerdict.Malformed, null));
        }

        return _entries.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(id, out var entry) && time.GetElapsedTime(entry.ReadAt) < Freshness
            ? new(Verify(entry, secret))
            : ReadAsync(id.ToString(), text, cancellationToken);
    }

    private async ValueTask<(KeyVerdict, Caller?)> ReadAsync(string id, string text, CancellationToken cancellationToken)
    {
        var key = await store.FindAsync(id, cancellationToken);
        if (!ApiKeyText.TryParse(text, out _, out var secret))
        {
            return (KeyVerdict.Malformed, null);
        }

        if (key is null)
        {
            // The same work as for a key that exists: how long an answer takes tells nothing.
            _ = Matches(s_noHash, secret);
            _entries.TryRemove(id, out _);
            return (KeyVerdict.Unknown, null);
        }

        var entry = new Entry(key, new Caller(key.Tenant, key.Scopes, key.Id), time.GetTimestamp());
        _entries[id] = entry;
        var result = Verify(entry, secret);
        if (result.Verdict == KeyVerdict.Valid && (key.LastUsed is not { } last || time.GetUtcNow() - last > s_touchInterval))
        {
            _ = TouchAsync(id);
        }

        return result;
    }

    private static (KeyVerdict Verdict, Caller? Caller) Verify(Entry entry, ReadOnlySpan<char> secret)
    {
        if (!Matches(entry.Key.Hash.Span, secret))
        {
            return (KeyVerdict.Unknown, null);
        }

        return entry.Key.Revoked is null ? (KeyVerdict.Valid, entry.Caller) : (KeyVerdict.Revoked, null);
    }

    private static bool Matches(ReadOnlySpan<byte> hash, ReadOnlySpan<char> secret)
    {
        Span<byte> given = stackalloc byte[SHA256.HashSizeInBytes];
        ApiKeyText.Hash(secret, given);
        return CryptographicOperations.FixedTimeEquals(given, hash);
    }

    // Nobody waits for it: a lost note of use harms nothing.
    private async Task TouchAsync(string id)
    {
        try
        {
            await store.TouchAsync(id, time.GetUtcNow(), CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            LogTouchFailed(logger, id, e.Message);
        }
    }

    [LoggerMessage(LogLevel.Debug, "The use of key {id} was not noted: {reason}")]
    private static partial void LogTouchFailed(ILogger logger, string id, string reason);

    private sealed record Entry(ApiKey Key, Caller Caller, long ReadAt);
}
