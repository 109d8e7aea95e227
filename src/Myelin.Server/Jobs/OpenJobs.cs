namespace Myelin.Server.Jobs;

/// <summary>Jobs that came by the bus from programs that only speak Kafka. They are known by their idempotency key.</summary>
internal static class OpenJobs
{
    /// <summary>Keeps keys of messages apart from those of HTTP requests.</summary>
    public const string KeyPrefix = "kafka:";

    /// <summary>The key that the sender knows the job by; null for a job that came by HTTP.</summary>
    public static string? Request(JobRecord job) =>
        job.IdempotencyKey?.StartsWith(KeyPrefix, StringComparison.Ordinal) == true ? job.IdempotencyKey[KeyPrefix.Length..] : null;
}
