using System.Collections.Immutable;

namespace Myelin.Hosting.Bus;

/// <summary>
/// The bus inside one process: bounded queues per member, no durability of its own (Storage republishes at start). A
/// message without a subscriber is dropped. Within a group a key goes to one member as long as the group's members stay
/// the same; broadcast members get everything in order. A publisher waits while a member's queue is full; the other groups
/// have the message by then.
/// </summary>
internal sealed partial class EmbeddedBus(ILogger<EmbeddedBus> logger) : IBus
{
    private readonly Lock _gate = new();
    private ImmutableArray<BusGroup> _groups = [];

    public bool Retains => false;

    public ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken)
    {
        var sent = message.Topic == topic ? message : message with { Topic = topic };
        List<Task>? waiting = null;
        foreach (var group in _groups)
        {
            if (group.Matches(topic) && group.SendAsync(sent, cancellationToken) is { IsCompletedSuccessfully: false } send)
            {
                (waiting ??= []).Add(send);
            }
        }

        return waiting is null ? ValueTask.CompletedTask : new ValueTask(Task.WhenAll(waiting));
    }

    public async ValueTask<Delivery> DeliverAsync(string topic, BusMessage message, CancellationToken cancellationToken)
    {
        await PublishAsync(topic, message, cancellationToken);
        return Delivery.Held;
    }

    /// <summary>Topics are but names here.</summary>
    public void Prepare(string topic)
    {
    }

    /// <summary>The subscription holds from this call on, also before the first message is asked for.</summary>
    public IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken)
    {
        var member = new BusMember();
        var joined = Join(topics, group, member);
        member.Registration = cancellationToken.Register(() => Leave(joined, member));
        return member.ReadAsync(() => Leave(joined, member), cancellationToken);
    }

    /// <summary>There is nowhere to put it aside: it is told and forgotten.</summary>
    public ValueTask RejectAsync(BusMessage message, string reason, CancellationToken cancellationToken)
    {
        LogRejected(message.Topic, reason);
        return ValueTask.CompletedTask;
    }

    private BusGroup Join(string pattern, string? name, BusMember member)
    {
        lock (_gate)
        {
            var group = name is null ? null : _groups.FirstOrDefault(g => g.Name == name && g.Pattern == pattern);
            if (group is null)
            {
                group = new BusGroup(pattern, name);
                _groups = _groups.Add(group);
            }

            group.Join(member);
            return group;
        }
    }

    private void Leave(BusGroup group, BusMember member)
    {
        lock (_gate)
        {
            if (group.Leave(member))
            {
                _groups = _groups.Remove(group);
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "A message on {Topic} cannot be used: {Reason}")]
    private partial void LogRejected(string topic, string reason);
}
