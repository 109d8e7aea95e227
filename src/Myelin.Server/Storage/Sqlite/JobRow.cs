using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Myelin.Server.Jobs;

namespace Myelin.Server.Storage.Sqlite;

/// <summary>Reads and writes the row of a job. JSON is made and read outside the writer's thread where it can be.</summary>
internal static class JobRow
{
    /// <summary>Every column, in the order that <see cref="Read"/> takes them.</summary>
    public const string Columns =
        "seq, id, tenant, model, priority, state, attempt, failures, event_id, cancel_requested, purged, created_at, not_before, deadline, " +
        "started_at, ended_at, expires_at, lease_until, lease_token, worker, key, idempotency_key, body_hash, trace_parent, callback, " +
        "progress, inputs, artifacts, error, parameters, result";

    public static JobRecord Read(SqliteCursor row) => new()
    {
        Sequence = row.Int64(0),
        Id = row.Text(1),
        Tenant = row.Text(2),
        Model = row.Text(3),
        Priority = (JobPriority)row.Int32(4),
        State = (JobState)row.Int32(5),
        Attempt = row.Int32(6),
        Failures = row.Int32(7),
        EventId = row.Int64(8),
        CancelRequested = row.Int32(9) != 0,
        Purged = row.Int32(10) != 0,
        CreatedAt = row.Time(11),
        NotBefore = row.TimeOrNull(12),
        Deadline = row.TimeOrNull(13),
        StartedAt = row.TimeOrNull(14),
        EndedAt = row.TimeOrNull(15),
        ExpiresAt = row.TimeOrNull(16),
        LeaseUntil = row.TimeOrNull(17),
        LeaseToken = row.TextOrNull(18),
        Worker = row.TextOrNull(19),
        Key = row.TextOrNull(20),
        IdempotencyKey = row.TextOrNull(21),
        BodyHash = row.TextOrNull(22),
        TraceParent = row.TextOrNull(23),
        Callback = Json(row.Bytes(24), JsonContext.Default.JobCallback),
        Progress = Json(row.Bytes(25), JsonContext.Default.JobProgress),
        Inputs = Blobs(row.Bytes(26)),
        Artifacts = Blobs(row.Bytes(27)),
        Error = Json(row.Bytes(28), JsonContext.Default.Problem),
        Parameters = row.Bytes(29).ToArray(),
        Result = row.IsNull(30) ? (ReadOnlyMemory<byte>?)null : row.Bytes(30).ToArray(),
    };

    public static JobHint ReadHint(SqliteCursor row) => new(
        row.Text(0), row.Int64(1), row.Text(2), (JobPriority)row.Int32(3), row.Text(4), row.TextOrNull(5), row.TimeOrNull(6));

    public static byte[] Json<T>(T? value, JsonTypeInfo<T> type) where T : class =>
        value is null ? [] : JsonSerializer.SerializeToUtf8Bytes(value, type);

    public static byte[] Blobs(ImmutableArray<JobArtifact> blobs) =>
        blobs.IsDefaultOrEmpty ? [] : JsonSerializer.SerializeToUtf8Bytes(blobs, JsonContext.Default.IReadOnlyListJobArtifact);

    private static T? Json<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type) where T : class =>
        json.IsEmpty ? null : JsonSerializer.Deserialize(json, type);

    private static ImmutableArray<JobArtifact> Blobs(ReadOnlySpan<byte> json) =>
        json.IsEmpty ? [] : [.. JsonSerializer.Deserialize(json, JsonContext.Default.IReadOnlyListJobArtifact)!];
}
