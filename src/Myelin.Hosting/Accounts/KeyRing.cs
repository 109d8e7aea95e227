using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;

namespace Myelin.Hosting.Accounts;

internal enum KeyVerdict
{
    Valid,
    Malformed,
    Unknown,
    Revoked,

    /// <summary>It is not known here, and the database does not answer.</summary>
    Unread,
}

/// <summary>
/// Checks keys without a read of the database per request: a key read is trusted for <see cref="Freshness"/>, so a
/// revocation (also by another process) counts within that time. While the database is away a key goes on working for
/// <see cref="StaleLimit"/> after its last read; nobody waits for more than <see cref="s_patience"/>, and once that is
/// known nobody waits at all: one read at a time finds out when it is back. Reads are one per key at a time. Where an
/// address has failed too often its unknown keys are looked up in a list of all that is read at most once per
/// <see cref="Freshness"/>. Any thread.
/// </summary>
internal sealed partial class KeyRing(
    IKeyStore store, FailedAttempts failures, AccountsInstruments instruments, TimeProvider time, ILogger<KeyRing> logger)
{
    public static readonly TimeSpan Freshness = TimeSpan.FromSeconds(5);
    public static readonly TimeSpan StaleLimit = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_touchInterval = TimeSpan.FromMinutes(1);
    private static readonly byte[] s_noHash = new byte[SHA256.HashSizeInBytes];

    /// <summary>Ids remembered that are no key's; forgotten all together.</summary>
    private const int UnknownLimit = 10_000;

    /// <summary>Reads under way; whoever needs one more is told that the key could not be read.</summary>
    private const int ReadLimit = 256;

    /// <summary>The read of all keys, among the reads of one.</summary>
    private const string All = "";

    /// <summary>Keys that exist.</summary>
    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    /// <summary>Ids that are no key's → when that was read.</summary>
    private readonly ConcurrentDictionary<string, long> _unknown = new(StringComparer.Ordinal);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<bool>> _reads = new(StringComparer.Ordinal);
    private volatile bool _away;
    private long? _allReadAt;

    /// <param name="text">As the caller sent it.</param>
    /// <param name="from">The caller's address.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public ValueTask<(KeyVerdict Verdict, Caller? Caller)> CheckAsync(string text, IPAddress? from, CancellationToken cancellationToken)
    {
        if (!ApiKeyText.TryParse(text, out var id, out var secret))
        {
            return new((KeyVerdict.Malformed, null));
        }

        return _entries.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(id, out var entry) && IsFresh(entry.ReadAt)
            ? new(Verify(entry, secret))
            : ReadAsync(id.ToString(), text, from, cancellationToken);
    }

    private async ValueTask<(KeyVerdict, Caller?)> ReadAsync(string id, string text, IPAddress? from, CancellationToken cancellationToken)
    {
        var known = _entries.ContainsKey(id);
        var answered = (!known && _unknown.TryGetValue(id, out var at) && IsFresh(at))
            || await AnsweredAsync(Read(known || !failures.IsOver(from) ? id : All), cancellationToken);
        _ = ApiKeyText.TryParse(text, out _, out var secret);
        if (!_entries.TryGetValue(id, out var entry))
        {
            // The same work as for a key that exists: how long an answer takes tells nothing.
            _ = Matches(s_noHash, secret);
            return (answered ? KeyVerdict.Unknown : KeyVerdict.Unread, null);
        }

        if (!IsFresh(entry.ReadAt))
        {
            if (time.GetElapsedTime(entry.ReadAt) >= StaleLimit)
            {
                return (KeyVerdict.Unread, null);
            }

            instruments.Stale();
        }

        return Verify(entry, secret);
    }

    /// <summary>Whether the database has told; waits for it unless it is known to be away.</summary>
    private async ValueTask<bool> AnsweredAsync(Task<bool>? read, CancellationToken cancellationToken)
    {
        if (read is null || (_away && !read.IsCompleted))
        {
            return false;
        }

        try
        {
            return await read.WaitAsync(s_patience, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            Away($"no answer within {s_patience.TotalSeconds:0} s");
            return false;
        }
    }

    /// <summary>The read of a key, or of all; the one under way where there is one. Null where no more may begin.</summary>
    private Task<bool>? Read(string id)
    {
        lock (_gate)
        {
            if (id == All && _allReadAt is { } at && IsFresh(at))
            {
                return Task.FromResult(true);
            }

            if (_reads.TryGetValue(id, out var read))
            {
                return read;
            }

            return _reads.Count >= (_away ? 1 : ReadLimit) ? null : _reads[id] = Task.Run(() => LoadAsync(id));
        }
    }

    /// <summary>True once the database has told. No caller's leaving ends it: others wait too.</summary>
    private async Task<bool> LoadAsync(string id)
    {
        try
        {
            if (id == All)
            {
                foreach (var each in await store.ListAsync(CancellationToken.None))
                {
                    Keep(each);
                }

                lock (_gate)
                {
                    _allReadAt = time.GetTimestamp();
                }
            }
            else if (await store.FindAsync(id, CancellationToken.None) is { } key)
            {
                Keep(key);
                if (key.Revoked is null && (key.LastUsed is not { } last || time.GetUtcNow() - last > s_touchInterval))
                {
                    _ = TouchAsync(id);
                }
            }
            else
            {
                _entries.TryRemove(id, out _);
                NoteUnknown(id);
            }

            Back();
            return true;
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            Away(e.Message);
            return false;
        }
        finally
        {
            lock (_gate)
            {
                _reads.Remove(id);
            }
        }
    }

    private void Keep(ApiKey key)
    {
        _entries[key.Id] = new Entry(key, new Caller(key.Tenant, key.Scopes, key.Id), time.GetTimestamp());
        _unknown.TryRemove(key.Id, out _);
    }

    private void NoteUnknown(string id)
    {
        if (_unknown.Count >= UnknownLimit)
        {
            _unknown.Clear();
        }

        _unknown[id] = time.GetTimestamp();
    }

    private bool IsFresh(long readAt) => time.GetElapsedTime(readAt) < Freshness;

    private void Away(string reason)
    {
        if (!_away)
        {
            _away = true;
            LogAway(StaleLimit.TotalMinutes, reason);
        }
    }

    private void Back()
    {
        if (_away)
        {
            _away = false;
            LogBack();
        }
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
            LogTouchFailed(id, e.Message);
        }
    }

    [LoggerMessage(LogLevel.Debug, "The use of key {id} was not noted: {reason}")]
    private partial void LogTouchFailed(string id, string reason);

    [LoggerMessage(LogLevel.Warning, "Keys cannot be read; those that are known go on working for {minutes} minutes: {reason}")]
    private partial void LogAway(double minutes, string reason);

    [LoggerMessage(LogLevel.Information, "Keys are read again")]
    private partial void LogBack();

    private sealed record Entry(ApiKey Key, Caller Caller, long ReadAt);
}
