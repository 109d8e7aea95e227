namespace Myelin.Hosting.Bus;

/// <summary>
/// Carries messages between roles; the truth stays in Storage. Order holds per (topic, key). Implementations:
/// embedded (in process), PostgreSQL (NOTIFY), Kafka.
/// </summary>
internal interface IBus
{
    /// <summary>
    /// True where messages that a group is slow to read wait in the bus itself, without holding up its publishers: a
    /// full reader just stops reading. False where a reader that stops reading stops its publishers.
    /// </summary>
    bool Retains { get; }

    /// <summary>Hands a message over. Returns as soon as the bus has it, at once also when a broker is away.</summary>
    ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken);

    /// <summary>Publishes and waits until it is known what became of the message.</summary>
    ValueTask<Delivery> DeliverAsync(string topic, BusMessage message, CancellationToken cancellationToken);

    /// <summary>Sees to it, in the background, that a topic is there before the first message: readers find it sooner.</summary>
    void Prepare(string topic);

    /// <summary>
    /// Messages of <paramref name="topics"/>; one <c>*</c> in it matches any text. Members of one group share them; a
    /// null group gets every message from now on (broadcast, one topic only). A group's message comes again, to any
    /// member, unless <see cref="BusMessage.Done"/> was called before its reader went away.
    /// </summary>
    IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken);

    /// <summary>A message that nobody can use: it is put aside with the reason, and never comes again.</summary>
    ValueTask RejectAsync(BusMessage message, string reason, CancellationToken cancellationToken);
}

/// <summary>How a delivery ended.</summary>
internal enum Delivery
{
    /// <summary>The bus holds the message for good.</summary>
    Held,

    /// <summary>No broker took it in time; another attempt may work.</summary>
    Dropped,

    /// <summary>The bus never takes a message of this size.</summary>
    TooLarge,
}

/// <param name="Topic">Filled in by the bus.</param>
/// <param name="Key">Ordering key; null spreads freely.</param>
/// <param name="Payload">Owned by the bus after publish; not written again.</param>
/// <param name="Headers">Trace context and content type among them.</param>
internal sealed record BusMessage(string Topic, string? Key, ReadOnlyMemory<byte> Payload, IReadOnlyDictionary<string, string>? Headers = null)
{
    /// <summary>Where a message that was read lay, for people: <c>topic/partition/offset</c>.</summary>
    public string? Origin { get; init; }

    /// <summary>Set by a bus that wants to know; see <see cref="Done"/>.</summary>
    public Action? Settle { get; init; }

    /// <summary>What the message asked for is safe elsewhere or done: it need not come again. From any thread, in any order.</summary>
    public void Done() => Settle?.Invoke();
}
