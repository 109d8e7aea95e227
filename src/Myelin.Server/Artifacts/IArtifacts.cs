namespace Myelin.Server.Artifacts;

/// <summary>
/// Blobs of jobs by (job id, name). Streamed, content hash recorded, atomic: a blob is whole or not there.
/// Implementations: folder, S3. A full disk is an <see cref="ArtifactsFullException"/>.
/// </summary>
internal interface IArtifacts
{
    /// <summary>Stores a blob durably and returns its description (size in bytes, SHA-256).</summary>
    ValueTask<JobArtifact> PutAsync(string job, string name, string contentType, Stream content, CancellationToken cancellationToken);

    /// <summary>Opens a blob for reading with seeking; null when there is none.</summary>
    ValueTask<Stream?> OpenAsync(string job, string name, CancellationToken cancellationToken);

    /// <summary>Deletes every blob of a job; no error when there is none.</summary>
    ValueTask DeleteAsync(string job, CancellationToken cancellationToken);

    /// <summary>Jobs that have blobs, for finding orphans, oldest first.</summary>
    IAsyncEnumerable<(string Job, DateTimeOffset Created)> ListJobsAsync(CancellationToken cancellationToken);
}

internal sealed class ArtifactsFullException(string message, Exception? inner = null) : IOException(message, inner);
