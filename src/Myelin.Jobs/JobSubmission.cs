using System.Collections.Immutable;

namespace Myelin.Jobs;

/// <summary>A checked submission: the model exists and takes these parameters and files.</summary>
internal sealed record JobSubmission
{
    public required string Tenant { get; init; }

    public required string Model { get; init; }

    public JobPriority Priority { get; init; } = JobPriority.Normal;

    public string? Key { get; init; }

    public DateTimeOffset? Deadline { get; init; }

    public JobCallback? Callback { get; init; }

    /// <summary>A JSON object as UTF-8.</summary>
    public ReadOnlyMemory<byte> Parameters { get; init; } = "{}"u8.ToArray();

    public ImmutableArray<SubmittedFile> Files { get; init; } = [];

    public string? IdempotencyKey { get; init; }

    public string? TraceParent { get; init; }
}

/// <param name="Content">In memory or a temporary file; read once, from its start.</param>
internal sealed record SubmittedFile(string Name, string ContentType, Stream Content);

internal enum SubmitStatus
{
    Accepted,

    /// <summary>A repeat of an idempotency key: <see cref="SubmitResult.Job"/> is the first job.</summary>
    Repeated,
    IdempotencyMismatch,
    QueueFull,
    StorageFull,
    ShuttingDown,
}

/// <param name="RetryAfter">With <see cref="SubmitStatus.QueueFull"/>: when a place is expected, from the measured service rate.</param>
/// <param name="Position">With <see cref="SubmitStatus.Accepted"/>: jobs of its model that go before it.</param>
internal sealed record SubmitResult(SubmitStatus Status, JobRecord? Job = null, TimeSpan? RetryAfter = null, int? Position = null);
