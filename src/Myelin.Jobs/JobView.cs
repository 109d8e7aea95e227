using System.Collections.Immutable;
using System.Text.Json;

namespace Myelin.Jobs;

/// <summary>Makes the wire's <see cref="Job"/> of a stored one.</summary>
internal static class JobView
{
    public static Job Of(JobRecord job, int? position, double? etaSeconds) => new()
    {
        Id = job.Id,
        Model = job.Model,
        State = job.State,
        Priority = job.Priority,
        Key = job.Key,
        Attempt = job.Attempt,
        Progress = job.Progress,
        Position = position,
        EtaSeconds = etaSeconds,
        CreatedAt = job.CreatedAt,
        StartedAt = job.StartedAt,
        EndedAt = job.EndedAt,
        Deadline = job.Deadline,
        ExpiresAt = job.ExpiresAt,
        Parameters = Json(job.Parameters),
        Inputs = Blobs(job, job.Inputs, JobBlobs.InputName),
        Artifacts = Blobs(job, job.Artifacts, static name => name),
        Result = job.Result is { } result ? Json(result) : null,

        // The fault of an attempt that will be repeated is not the job's.
        Error = job.State.IsEnd() ? job.Error : null,
    };

    private static JsonElement? Json(ReadOnlyMemory<byte> json)
    {
        if (json.IsEmpty)
        {
            return null;
        }

        var reader = new Utf8JsonReader(json.Span);
        return JsonElement.ParseValue(ref reader);
    }

    private static JobArtifact[] Blobs(JobRecord job, ImmutableArray<JobArtifact> blobs, Func<string, string> blobName) =>
        [.. blobs.Select(b => b with { Url = $"/v1/jobs/{job.Id}/artifacts/{blobName(b.Name)}" })];
}
