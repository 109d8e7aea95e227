using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Myelin.Jobs.Store;

/// <summary>
/// The columns of a job, the same in every database, and the JSON in some of them: UTF-8, empty for nothing. JSON is
/// made outside the writer where it can be.
/// </summary>
internal static class JobColumns
{
    /// <summary>Every column, in the order that readers take them.</summary>
    public const string Names =
        "seq, id, tenant, model, priority, state, attempt, failures, event_id, cancel_requested, purged, created_at, not_before, deadline, " +
        "started_at, ended_at, expires_at, lease_until, lease_token, worker, key, idempotency_key, body_hash, trace_parent, callback, " +
        "progress, inputs, artifacts, error, parameters, result";

    /// <summary>The same for a list, which shows neither parameters nor results: they may be large, and are read by id.</summary>
    public static readonly string Light = Names.Replace("parameters, result", "NULL, NULL", StringComparison.Ordinal);

    public static byte[] Json<T>(T? value, JsonTypeInfo<T> type) where T : class =>
        value is null ? [] : JsonSerializer.SerializeToUtf8Bytes(value, type);

    public static byte[] Blobs(ImmutableArray<JobArtifact> blobs) =>
        blobs.IsDefaultOrEmpty ? [] : JsonSerializer.SerializeToUtf8Bytes(blobs, JsonContext.Default.IReadOnlyListJobArtifact);

    public static T? Json<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type) where T : class =>
        json.IsEmpty ? null : JsonSerializer.Deserialize(json, type);

    public static ImmutableArray<JobArtifact> Blobs(ReadOnlySpan<byte> json) =>
        json.IsEmpty ? [] : [.. JsonSerializer.Deserialize(json, JsonContext.Default.IReadOnlyListJobArtifact)!];
}
