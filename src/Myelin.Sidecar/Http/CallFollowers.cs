using System.Diagnostics.CodeAnalysis;

namespace Myelin.Sidecar.Http;

/// <summary>
/// Brings the progress of calls to those who follow them on another connection. Either side may come first: a follower
/// that comes before its call waits for it. Safe for concurrent use.
/// </summary>
internal sealed class CallFollowers(int maxCalls)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, FollowedCall> _calls = [];

    /// <summary>A call begins; false where its name is in use or too many are followed.</summary>
    public bool TryBegin(string id, [NotNullWhen(true)] out FollowedCall? call)
    {
        lock (_lock)
        {
            return TryAdd(id, out call) && call.TryBegin();
        }
    }

    /// <summary>Somebody follows; false where somebody else does or too many are followed.</summary>
    public bool TryFollow(string id, [NotNullWhen(true)] out FollowedCall? call)
    {
        lock (_lock)
        {
            return TryAdd(id, out call) && call.TryFollow();
        }
    }

    /// <summary>The call has ended, or its follower has waited long enough.</summary>
    public void End(string id, FollowedCall call)
    {
        lock (_lock)
        {
            if (_calls.TryGetValue(id, out var current) && current == call)
            {
                _calls.Remove(id);
            }
        }

        call.End();
    }

    /// <summary>Ends the wait of a follower whose call never began.</summary>
    public void GiveUp(string id, FollowedCall call)
    {
        lock (_lock)
        {
            if (call.Begun)
            {
                return;
            }

            _calls.Remove(id);
        }

        call.End();
    }

    private bool TryAdd(string id, [NotNullWhen(true)] out FollowedCall? call)
    {
        if (_calls.TryGetValue(id, out call))
        {
            return true;
        }

        if (_calls.Count >= maxCalls)
        {
            return false;
        }

        call = new FollowedCall();
        _calls.Add(id, call);
        return true;
    }
}
