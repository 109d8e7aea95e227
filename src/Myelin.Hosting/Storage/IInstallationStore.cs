namespace Myelin.Hosting.Storage;

/// <summary>Which database this is.</summary>
/// <param name="Id">Random, as old as the database (or as the first version that gave it one).</param>
/// <param name="BlobPrefix">Of every blob's key in a bucket, where the options name none.</param>
/// <param name="Generation">What the last sweep of blobs wrote into their mark; null before the first.</param>
/// <param name="Previous">What the one before it wrote: it may be the newest in the mark where a process died in between.</param>
internal sealed record Installation(string Id, string BlobPrefix, string? Generation, string? Previous);

internal interface IInstallationStore
{
    ValueTask<Installation> ReadAsync(CancellationToken cancellationToken);

    /// <summary>Stores a new generation, the newest again changing nothing; false where another process coordinates by now.</summary>
    ValueTask<bool> AdvanceAsync(string generation, CancellationToken cancellationToken);
}
