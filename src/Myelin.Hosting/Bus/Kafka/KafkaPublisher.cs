using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Confluent.Kafka;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// The process's one producer. Never waits: a message goes into the client's bounded buffer, from there to the broker
/// when it can; what finds no place or waits too long is dropped and counted. A producer that broke for good (a fatal
/// error of the idempotent protocol) is replaced.
/// </summary>
internal sealed partial class KafkaPublisher : IDisposable
{
    /// <summary>Topics that are said of; beyond that their drops are only counted.</summary>
    private const int RefusedLimit = 1000;

    private static readonly TimeSpan s_flush = TimeSpan.FromSeconds(3);

    private readonly KafkaClient _client;
    private readonly KafkaTopics _topics;
    private readonly KafkaNames _names;
    private readonly KafkaHealth _health;
    private readonly BusInstruments _instruments;
    private readonly ILogger<KafkaPublisher> _logger;
    private readonly Lock _gate = new();

    /// <summary>Topics whose last message was dropped: said once, until one gets through.</summary>
    private readonly ConcurrentDictionary<string, ErrorCode> _refused = new(StringComparer.Ordinal);

    private IProducer<byte[]?, byte[]> _producer;
    private bool _disposed;

    public KafkaPublisher(KafkaClient client, KafkaTopics topics, KafkaNames names, KafkaHealth health, BusInstruments instruments, ILogger<KafkaPublisher> logger)
    {
        (_client, _topics, _names, _health, _instruments, _logger) = (client, topics, names, health, instruments, logger);
        _producer = Build();
    }

    /// <summary>Hands a message to the client's buffer.</summary>
    /// <param name="delivered">Told once what became of it, on the client's thread.</param>
    public void Publish(string topic, BusMessage message, Action<Error>? delivered = null)
    {
        _ = _topics.EnsureAsync(topic);
        var sent = new Message<byte[]?, byte[]>
        {
            Key = KafkaKeys.Bytes(message.Key),
            Value = Bytes(message.Payload),
            Headers = KafkaHeaders.Of(message.Headers),
        };
        _instruments.Handed();
        try
        {
            _producer.Produce(_names.Topic(topic), sent, report => Settle(topic, report.Error, delivered));
        }
        catch (ProduceException<byte[]?, byte[]> e)
        {
            Settle(topic, e.Error, delivered);
        }
        catch (ObjectDisposedException)
        {
            Settle(topic, new Error(ErrorCode.Local_Destroy), delivered);
        }
    }

    public void Dispose()
    {
        IProducer<byte[]?, byte[]> producer;
        lock (_gate)
        {
            _disposed = true;
            producer = _producer;
        }

        // The last words of a shutdown; with the brokers away there is nobody to wait for.
        producer.Flush(_health.IsUp ? s_flush : TimeSpan.Zero);
        producer.Dispose();
    }

    private static byte[] Bytes(ReadOnlyMemory<byte> payload) =>
        MemoryMarshal.TryGetArray(payload, out var array) && array.Offset == 0 && array.Count == array.Array!.Length ? array.Array : payload.ToArray();

    private IProducer<byte[]?, byte[]> Build() => new ProducerBuilder<byte[]?, byte[]>(_client.Producer())
        .SetErrorHandler(Receive)
        .SetLogHandler((_, message) => _health.Heard(message))
        .Build();

    private void Receive(IProducer<byte[]?, byte[]> from, Error error)
    {
        if (!error.IsFatal)
        {
            _health.Heard(error);
            return;
        }

        lock (_gate)
        {
            if (_disposed || !ReferenceEquals(from, _producer))
            {
                return;
            }

            LogReplaced(error.Reason);
            _producer = Build();
        }

        // Not from its own callback. What the broken one still held is told to those who wait for it.
        _ = Task.Run(() =>
        {
            from.Flush(s_flush);
            from.Dispose();
        });
    }

    private void Settle(string topic, Error error, Action<Error>? delivered)
    {
        if (error.IsError)
        {
            _instruments.Failed(topic, error.Code.ToString());
            if (_refused.Count < RefusedLimit && _refused.TryAdd(topic, error.Code))
            {
                LogRefused(topic, error.Reason);
            }
            else
            {
                LogDropped(topic, error.Reason);
            }
        }
        else
        {
            _instruments.Published(topic);
            _health.Up();
            if (!_refused.IsEmpty)
            {
                _refused.TryRemove(topic, out _);
            }
        }

        delivered?.Invoke(error);
    }

    [LoggerMessage(LogLevel.Warning, "The Kafka producer broke and is replaced: {Reason}")]
    private partial void LogReplaced(string reason);

    [LoggerMessage(LogLevel.Warning, "Messages for {Topic} are dropped (myelin_bus_publish_failures_total counts them): {Reason}")]
    private partial void LogRefused(string topic, string reason);

    [LoggerMessage(LogLevel.Debug, "A message for {Topic} is dropped: {Reason}")]
    private partial void LogDropped(string topic, string reason);
}
