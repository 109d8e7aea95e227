using Confluent.Kafka;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// Settings of every client of the cluster. They hold the password: nothing here is ever logged. Clients reconnect by
/// themselves; what they say about it is heard at Debug, <see cref="KafkaHealth"/> tells the changes.
/// </summary>
internal sealed class KafkaClient(KafkaOptions options)
{
    private const int PrefetchKiB = 16 << 10;

    /// <summary>What the library would refuse at the start with an exception of its own.</summary>
    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        var kafka = options.Bus.Kafka;
        if (kafka.Bootstrap.Length > 0 && kafka.Security.StartsWith("sasl", StringComparison.Ordinal) && (kafka.Username.Length == 0 || (kafka.Password.Length == 0 && kafka.PasswordFile.Length == 0)))
        {
            yield return $"bus.kafka.security: {kafka.Security} needs bus.kafka.username and a password (bus.kafka.passwordFile or MYELIN_BUS_KAFKA_PASSWORD)";
        }

        // The library leaves such a broker out, with a line that nobody reads.
        var security = kafka.Security.Replace("sasl", "sasl_", StringComparison.Ordinal);
        foreach (var broker in kafka.Bootstrap.Split(',', StringSplitOptions.TrimEntries).Where(b => b.Contains("://", StringComparison.Ordinal) && !b.StartsWith(security + "://", StringComparison.OrdinalIgnoreCase)))
        {
            yield return $"bus.kafka.bootstrap: '{broker}' names another security than bus.kafka.security, which is {kafka.Security}";
        }
    }

    /// <summary>For producing: what was acknowledged is on every in-sync copy, once and in order.</summary>
    public ProducerConfig Producer() => With(new ProducerConfig
    {
        Acks = Acks.All,
        EnableIdempotence = true,
        LingerMs = 1,
        CompressionType = CompressionType.Lz4,
        MessageTimeoutMs = (int)options.BufferTime.TotalMilliseconds,
        QueueBufferingMaxMessages = options.BufferMessages,
        QueueBufferingMaxKbytes = (int)Math.Clamp(options.BufferBytes >> 10, 1, int.MaxValue),
        MessageMaxBytes = (int)Math.Clamp(options.MaxMessageBytes, 1000, 1_000_000_000),
    });

    /// <param name="group">Full name.</param>
    /// <param name="instance">Static membership: a restart within the session keeps the partitions. Null = an ordinary member.</param>
    public ConsumerConfig Consumer(string group, string? instance) => With(new ConsumerConfig
    {
        GroupId = group,
        GroupInstanceId = instance,
        PartitionAssignmentStrategy = PartitionAssignmentStrategy.CooperativeSticky,
        SessionTimeoutMs = (int)options.SessionTimeout.TotalMilliseconds,
        MaxPollIntervalMs = Math.Max(300_000, (int)options.SessionTimeout.TotalMilliseconds),
        HeartbeatIntervalMs = 1000,
        AutoOffsetReset = AutoOffsetReset.Earliest,
        EnableAutoCommit = true,
        AutoCommitIntervalMs = 1000,
        EnableAutoOffsetStore = false,

        // How soon a pattern's new topic is found.
        TopicMetadataRefreshIntervalMs = 3000,
        QueuedMinMessages = 1000,
        QueuedMaxMessagesKbytes = PrefetchKiB,
        FetchMaxBytes = (int)Math.Clamp(options.MaxMessageBytes + 1024, PrefetchKiB << 10, 1_000_000_000),
        MaxPartitionFetchBytes = 1 << 20,
    });

    public AdminClientConfig Admin() => With(new AdminClientConfig { SocketTimeoutMs = 10_000 });

    private T With<T>(T config) where T : ClientConfig
    {
        config.BootstrapServers = options.Bootstrap;
        config.ClientId = "myelin";

        // On a cluster that makes topics by itself a message would be quicker than KafkaTopics, and get the cluster's one partition.
        config.AllowAutoCreateTopics = false;
        config.ReconnectBackoffMs = 100;
        config.ReconnectBackoffMaxMs = 2000;
        config.SocketKeepaliveEnable = true;
        config.TopicMetadataRefreshFastIntervalMs = 100;
        config.SecurityProtocol = options.Security switch
        {
            "ssl" => SecurityProtocol.Ssl,
            "saslPlaintext" => SecurityProtocol.SaslPlaintext,
            "saslSsl" => SecurityProtocol.SaslSsl,
            _ => SecurityProtocol.Plaintext,
        };
        config.SslCaLocation = options.CaFile is { Length: > 0 } authorities ? authorities : null;
        if (options.Security.StartsWith("sasl", StringComparison.Ordinal))
        {
            config.SaslMechanism = options.Mechanism switch
            {
                "plain" => SaslMechanism.Plain,
                "scramSha256" => SaslMechanism.ScramSha256,
                _ => SaslMechanism.ScramSha512,
            };
            config.SaslUsername = options.Username;
            config.SaslPassword = options.PasswordFile is { Length: > 0 } file ? File.ReadAllText(file).TrimEnd('\n', '\r') : options.Password;
        }

        return config;
    }
}
