namespace Myelin.Server.Bus;

/// <summary>
/// Carries messages between roles; the truth stays in Storage. Order holds per (topic, key). Implementations:
/// embedded (in process), Kafka.
/// </summary>
internal interface IBus
{
    ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken);

    /// <summary>
    /// Messages of <paramref name="topics"/> (a trailing <c>*</c> matches any rest). Members of one group share them;
    /// a null group gets every message (broadcast).
    /// </summary>
    IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken);
}

/// <param name="Topic">Filled in by the bus.</param>
/// <param name="Key">Ordering key; null spreads freely.</param>
/// <param name="Payload">Owned by the bus after publish; not written again.</param>
/// <param name="Headers">Trace context and content type among them.</param>
internal sealed record BusMessage(string Topic, string? Key, ReadOnlyMemory<byte> Payload, IReadOnlyDictionary<string, string>? Headers = null);
