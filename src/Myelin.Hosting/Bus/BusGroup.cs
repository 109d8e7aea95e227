using System.Collections.Immutable;

namespace Myelin.Hosting.Bus;

/// <summary>Members that share the messages of a pattern; a broadcast subscriber is a group of one.</summary>
/// <param name="pattern">A <see cref="TopicPattern"/>.</param>
/// <param name="name">Null for a broadcast subscriber.</param>
internal sealed class BusGroup(string pattern, string? name)
{
    private ImmutableArray<BusMember> _members = [];
    private readonly TopicPattern _topics = new(pattern);
    private int _turn;

    public string Pattern { get; } = pattern;

    public string? Name { get; } = name;

    public bool Matches(string topic) => _topics.Matches(topic);

    public async Task SendAsync(BusMessage message, CancellationToken cancellationToken)
    {
        while (true)
        {
            var members = _members;
            if (members.IsEmpty)
            {
                return;
            }

            var turn = message.Key is { } key ? string.GetHashCode(key, StringComparison.Ordinal) : Interlocked.Increment(ref _turn);
            var member = members[(int)((uint)turn % (uint)members.Length)];
            if (await member.OfferAsync(message, cancellationToken))
            {
                return;
            }

            // The member left between the look and the offer: the others take its share.
        }
    }

    public void Join(BusMember member) => _members = _members.Add(member);

    /// <summary>What the member had not read goes to the others as far as they have room. True when nobody is left.</summary>
    public bool Leave(BusMember member)
    {
        if (!_members.Contains(member))
        {
            return false;
        }

        _members = _members.Remove(member);
        member.Close();
        foreach (var message in _members.IsEmpty ? [] : member.Unread())
        {
            _members[0].TryOffer(message);
        }

        return _members.IsEmpty;
    }
}
