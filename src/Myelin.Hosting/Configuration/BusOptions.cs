using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Myelin.Hosting.Configuration;

internal sealed record BusOptions
{
    public KafkaOptions Kafka { get; init; } = new();
}

/// <summary>Kafka as the bus between processes. Without <see cref="Bootstrap"/> PostgreSQL carries its messages, or the bus is inside this process.</summary>
internal sealed record KafkaOptions
{
    [Description("Kafka brokers, host[:port], comma-separated. Empty = PostgreSQL carries messages between processes (storage.connection), or the bus is inside this process.")]
    [Form(Form.Brokers)]
    public string Bootstrap { get; init; } = "";

    [Description("Put before the name of every topic and group, so that installations share a cluster; such as staging.")]
    public string Prefix { get; init; } = "";

    [Description("Partitions of topics that the server creates: how many workers can share one topic.")]
    [Range(1, 10_000)]
    public int Partitions { get; init; } = 6;

    [Description("Copies of each partition of topics that the server creates. 0 = the broker's default.")]
    [Range(0, 100)]
    public int Replication { get; init; }

    [Description("Consumer groups are named after this.")]
    public string GroupId { get; init; } = "myelin";

    [Description("Name of this process among the members of a group; must be its own. Default: made of host, address and data folder.")]
    public string? Instance { get; init; }

    [Description("Silence after which the partitions of a dead member go to the others.")]
    [Range(typeof(TimeSpan), "00:00:06", "00:10:00")]
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(10);

    [Description("Messages kept for a broker that is away; then they are dropped: the rows are announced again.")]
    [Range(1, 10_000_000)]
    public int BufferMessages { get; init; } = 50_000;

    [Description("Bytes of messages kept for a broker that is away.")]
    public long BufferBytes { get; init; } = 64L << 20;

    [Description("How long a message is kept for a broker that is away.")]
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan BufferTime { get; init; } = TimeSpan.FromSeconds(30);

    [Description("Largest message; topics that the server creates take it.")]
    [Range(1000d, 1_000_000_000d)]
    public long MaxMessageBytes { get; init; } = 8L << 20;

    [Description("Bytes kept of each partition of topics that the server creates; beyond that the oldest messages go, read or not. -1 = no limit.")]
    [Range(-1d, long.MaxValue)]
    public long RetentionBytes { get; init; } = 1L << 30;

    [Description("Startable jobs of one priority class that a worker holds; beyond that its partitions are paused.")]
    [Range(1, 100_000)]
    public int Window { get; init; } = 10_000;

    [Description("How brokers are spoken to: plaintext, ssl, saslPlaintext or saslSsl.")]
    [AllowedValues("plaintext", "ssl", "saslPlaintext", "saslSsl")]
    public string Security { get; init; } = "plaintext";

    [Description("SASL mechanism: plain, scramSha256 or scramSha512.")]
    [AllowedValues("plain", "scramSha256", "scramSha512")]
    public string Mechanism { get; init; } = "scramSha512";

    [Description("SASL user name.")]
    public string Username { get; init; } = "";

    [Description("SASL password. Better in the environment or in bus.kafka.passwordFile than in a flag that others see.")]
    public string Password { get; init; } = "";

    [Description("File with the SASL password.")]
    [Form(Form.File)]
    public string PasswordFile { get; init; } = "";

    [Description("File with the certificate authorities (PEM) that brokers are checked against. Default: the system's.")]
    [Form(Form.File)]
    public string CaFile { get; init; } = "";

    /// <summary>Never the password.</summary>
    public override string ToString() => $"Kafka at {Bootstrap}";
}
