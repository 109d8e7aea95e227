namespace Myelin.Hosting.Artifacts;

/// <summary>
/// Blobs of jobs by (job id, name). Streamed, content hash recorded, atomic: a blob is whole or not there.
/// Implementations: folder, S3. A full disk is an <see cref="ArtifactsFullException"/>, a store that is away an <see cref="ArtifactsUnavailableException"/>.
/// </summary>
internal interface IArtifacts
{
    /// <summary>Stores a blob durably and returns its description (size in bytes, SHA-256).</summary>
    ValueTask<JobArtifact> PutAsync(string job, string name, string contentType, Stream content, CancellationToken cancellationToken);

    /// <summary>Opens a blob for reading with seeking; null when there is none.</summary>
    ValueTask<Stream?> OpenAsync(string job, string name, CancellationToken cancellationToken);

    /// <summary>
    /// An address at which whoever holds it reads the blob from the store itself, for a while; null where the store has
    /// no such addresses. Does not look whether the blob is there.
    /// </summary>
    Uri? Link(string job, string name, string contentType, string disposition);

    /// <summary>Deletes every blob of these jobs, half-written ones too; no error when there is none.</summary>
    /// <exception cref="ArtifactsUndeletableException">Some could not be deleted; those of the other jobs are.</exception>
    ValueTask DeleteAsync(IReadOnlyCollection<string> jobs, CancellationToken cancellationToken);

    /// <summary>
    /// For finding orphans: jobs that have blobs, or half-written ones, each once, in no order. Whatever else lies there is
    /// told too: a name that is no job's id is not ours.
    /// </summary>
    IAsyncEnumerable<string> ListJobsAsync(CancellationToken cancellationToken);

    /// <summary>Where the mark of the blobs' owner lies, for a person.</summary>
    string MarkPlace { get; }

    /// <summary>The mark that says whose blobs these are; null where there is none.</summary>
    ValueTask<string?> ReadMarkAsync(CancellationToken cancellationToken);

    ValueTask WriteMarkAsync(string mark, CancellationToken cancellationToken);
}

internal sealed class ArtifactsFullException(string message, Exception? inner = null) : IOException(message, inner);

/// <summary>The store is away or refuses us; nothing is known to be lost, and the same again may work later.</summary>
internal sealed class ArtifactsUnavailableException(string message, Exception? inner = null) : IOException(message, inner);

/// <summary>Some blobs cannot be deleted: their folder belongs to somebody else, or the bucket holds them fast. The rest is deleted.</summary>
/// <param name="count">How many jobs have such blobs.</param>
/// <param name="first">The first of them.</param>
/// <param name="reason">Why it could not be.</param>
internal sealed class ArtifactsUndeletableException(int count, string first, string reason, Exception? inner = null)
    : IOException($"Blobs of {count} jobs cannot be deleted, the first are those of {first}: {reason}", inner)
{
    public int Count { get; } = count;
}
