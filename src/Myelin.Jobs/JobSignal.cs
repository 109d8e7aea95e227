using System.Text.Json;
using System.Text.Json.Serialization;
using Myelin.Hosting.Bus;
using Myelin.Jobs.Store;

namespace Myelin.Jobs;

[JsonConverter(typeof(CamelCaseEnumConverter<JobSignalKind>))]
internal enum JobSignalKind
{
    /// <summary>Claimed, or back in the queue.</summary>
    State,
    Progress,
    End,
}

/// <summary>What the bus says about a job. Small: whoever wants the whole job reads the row.</summary>
internal sealed record JobSignal
{
    public required string Job { get; init; }

    public required long EventId { get; init; }

    public required JobSignalKind Kind { get; init; }

    public required JobState State { get; init; }

    public required string Model { get; init; }

    public required string Tenant { get; init; }

    public string? Key { get; init; }

    /// <summary>The idempotency key of a job that came by <see cref="Topics.JobsIn"/>: how its sender knows it.</summary>
    public string? Request { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public DateTimeOffset? EndedAt { get; init; }

    public JobProgress? Progress { get; init; }

    /// <summary>The state that <paramref name="job"/> has just reached.</summary>
    public static JobSignal Of(JobRecord job) => new()
    {
        Job = job.Id,
        EventId = job.EventId,
        Kind = job.State.IsEnd() ? JobSignalKind.End : JobSignalKind.State,
        State = job.State,
        Model = job.Model,
        Tenant = job.Tenant,
        Key = job.Key,
        Request = IdempotencyKey.Message(job),
        StartedAt = job.StartedAt,
        EndedAt = job.EndedAt,
    };

    public static JobSignal OfProgress(JobRecord job, long eventId, JobProgress progress) =>
        Of(job) with { EventId = eventId, Kind = JobSignalKind.Progress, Progress = progress };
}

/// <summary>A request to every process.</summary>
/// <param name="Cancel">To whichever worker runs this job: stop it.</param>
/// <param name="Look">To workers that have its model: a hint that came to one that has not.</param>
/// <param name="Reload">To workers that have this model: load it anew.</param>
internal sealed record JobControl(string? Cancel = null, JobHint? Look = null, string? Reload = null);

/// <summary>JSON of what travels on the bus between roles. Strict: on Kafka anybody may have written it.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(JobSignal))]
[JsonSerializable(typeof(JobControl))]
[JsonSerializable(typeof(JobHint))]
internal sealed partial class JobsJson : JsonSerializerContext;

/// <summary>Puts jobs' messages on the bus.</summary>
internal static class JobMessages
{
    /// <summary>Header that marks a message of <see cref="Topics.Events"/> whose payload is a preview picture.</summary>
    public const string PreviewHeader = "preview";

    private static readonly Dictionary<string, string> s_preview = new() { [PreviewHeader] = "image/jpeg" };

    /// <exception cref="JsonException">The payload is not such a message.</exception>
    public static T Read<T>(this BusMessage message, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) where T : class =>
        JsonSerializer.Deserialize(message.Payload.Span, type) ?? throw new JsonException("null is no message");

    public static ValueTask PublishHintAsync(this IBus bus, JobHint hint, CancellationToken cancellationToken)
    {
        var topic = Topics.Jobs(hint.Model, hint.Priority);

        // A job without a key has its id for one: announced again, it comes to the worker that knows it already.
        return bus.PublishAsync(topic, new BusMessage(topic, hint.Key ?? hint.Id, JsonSerializer.SerializeToUtf8Bytes(hint, JobsJson.Default.JobHint)), cancellationToken);
    }

    public static ValueTask PublishSignalAsync(this IBus bus, JobSignal signal, CancellationToken cancellationToken) =>
        bus.PublishAsync(
            Topics.Events,
            new BusMessage(Topics.Events, signal.Job, JsonSerializer.SerializeToUtf8Bytes(signal, JobsJson.Default.JobSignal)),
            cancellationToken);

    public static ValueTask PublishPreviewAsync(this IBus bus, string job, ReadOnlyMemory<byte> jpeg, CancellationToken cancellationToken) =>
        bus.PublishAsync(Topics.Events, new BusMessage(Topics.Events, job, jpeg, s_preview), cancellationToken);

    public static ValueTask PublishCancelAsync(this IBus bus, string job, CancellationToken cancellationToken) =>
        bus.PublishControlAsync(job, new JobControl(Cancel: job), cancellationToken);

    /// <summary>Hands a hint to all workers: the one that got it cannot run it.</summary>
    public static ValueTask PublishLookAsync(this IBus bus, JobHint hint, CancellationToken cancellationToken) =>
        bus.PublishControlAsync(hint.Id, new JobControl(Look: hint), cancellationToken);

    /// <summary>Asks every worker that has the model to load it anew.</summary>
    public static ValueTask PublishReloadAsync(this IBus bus, string model, CancellationToken cancellationToken) =>
        bus.PublishControlAsync(model, new JobControl(Reload: model), cancellationToken);

    private static ValueTask PublishControlAsync(this IBus bus, string job, JobControl control, CancellationToken cancellationToken) =>
        bus.PublishAsync(
            Topics.Control, new BusMessage(Topics.Control, job, JsonSerializer.SerializeToUtf8Bytes(control, JobsJson.Default.JobControl)), cancellationToken);
}
