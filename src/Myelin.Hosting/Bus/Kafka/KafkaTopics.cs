using System.Collections.Concurrent;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// Sees to it that topics are there. Each is created once, in the background, tried again while brokers are away;
/// messages for it wait in the producer meanwhile. One that exists is left as its owner made it.
/// </summary>
internal sealed partial class KafkaTopics(KafkaClient client, KafkaNames names, KafkaHealth health, KafkaOptions options, TimeProvider time, ILogger<KafkaTopics> logger)
    : IDisposable
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, Task> _topics = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();
    private readonly Lazy<IAdminClient> _admin = new(() => new AdminClientBuilder(client.Admin())
        .SetErrorHandler((_, error) => health.Heard(error))
        .SetLogHandler((_, message) => health.Heard(message))
        .Build());

    /// <summary>Names that are remembered, or in the making, at most; what is forgotten is only asked for once more.</summary>
    internal int Limit { get; set; } = 10_000;

    internal int Known => _topics.Count;

    /// <summary>Completes once the topic is there, must be made by somebody with more rights, or too many others are in the making: the next message asks again.</summary>
    /// <param name="topic">As the program names it.</param>
    public Task EnsureAsync(string topic)
    {
        if (_topics.TryGetValue(topic, out var known))
        {
            return known;
        }

        lock (_gate)
        {
            if (_topics.Count >= Limit)
            {
                _topics.Where(t => t.Value.IsCompleted).ToList().ForEach(t => _topics.TryRemove(t));
            }

            return _topics.Count >= Limit ? Task.CompletedTask : _topics.GetOrAdd(topic, t => Task.Run(() => CreateAsync(t)));
        }
    }

    /// <summary>Partitions of a topic; empty while it is not there.</summary>
    /// <exception cref="KafkaException">No broker answers in time.</exception>
    public IReadOnlyList<TopicPartition> Partitions(string topic, TimeSpan timeout)
    {
        var name = names.Topic(topic);
        var found = _admin.Value.GetMetadata(name, timeout).Topics.FirstOrDefault(t => t.Topic == name);
        return found is null ? [] : [.. found.Partitions.Select(p => new TopicPartition(name, p.PartitionId))];
    }

    public void Dispose()
    {
        _stop.Cancel();
        if (_admin.IsValueCreated)
        {
            _admin.Value.Dispose();
        }

        _stop.Dispose();
    }

    private async Task CreateAsync(string topic)
    {
        var token = _stop.Token;
        while (!token.IsCancellationRequested)
        {
            try
            {
                await _admin.Value.CreateTopicsAsync([Specification(topic)], new CreateTopicsOptions { RequestTimeout = s_timeout, OperationTimeout = s_timeout });
                LogCreated(topic);
                return;
            }
            catch (CreateTopicsException e) when (e.Results[0].Error.Code == ErrorCode.TopicAlreadyExists)
            {
                return;
            }
            catch (CreateTopicsException e) when (e.Results[0].Error is { IsLocalError: false } error && !Passing(error.Code))
            {
                LogRefused(topic, error.Reason);
                return;
            }
            catch (KafkaException e)
            {
                LogAgain(topic, e.Error.Reason);
                await Task.Delay(s_again, time, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (ObjectDisposedException)
            {
                return;
            }
        }
    }

    private static bool Passing(ErrorCode code) =>
        code is ErrorCode.RequestTimedOut or ErrorCode.NotController or ErrorCode.NetworkException or ErrorCode.BrokerNotAvailable or ErrorCode.InvalidReplicationFactor;

    private TopicSpecification Specification(string topic) => new()
    {
        Name = names.Topic(topic),
        NumPartitions = options.Partitions,
        ReplicationFactor = (short)(options.Replication == 0 ? -1 : options.Replication),
        Configs = new Dictionary<string, string>
        {
            ["retention.ms"] = ((long)Retention(topic).TotalMilliseconds).ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["retention.bytes"] = options.RetentionBytes.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["max.message.bytes"] = options.MaxMessageBytes.ToString(System.Globalization.CultureInfo.InvariantCulture),

            // The broker's clock: a sender's that is wrong must not have its messages deleted at once, or refused.
            ["message.timestamp.type"] = "LogAppendTime",
        },
    };

    /// <summary>Hints outlive any queue, signals any watcher; the truth is in Storage, so nothing is kept for long.</summary>
    private static TimeSpan Retention(string topic) => topic switch
    {
        Topics.Events or Topics.Control => TimeSpan.FromHours(1),
        Topics.DeadLetters => TimeSpan.FromDays(7),
        _ => TimeSpan.FromDays(1),
    };

    [LoggerMessage(LogLevel.Information, "Kafka topic {Topic} created")]
    private partial void LogCreated(string topic);

    [LoggerMessage(LogLevel.Error, "Kafka topic {Topic} cannot be created: {Reason}")]
    private partial void LogRefused(string topic, string reason);

    [LoggerMessage(LogLevel.Debug, "Kafka topic {Topic} is not created yet: {Reason}")]
    private partial void LogAgain(string topic, string reason);
}
