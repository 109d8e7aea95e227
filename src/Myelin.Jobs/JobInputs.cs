using System.Collections.Immutable;
using System.Security.Cryptography;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Store;

namespace Myelin.Jobs;

/// <summary>
/// Inputs of jobs: small ones travel in the commit that accepts the job, others are blobs, durable before that commit.
/// </summary>
internal sealed class JobInputs(IJobStore store, IArtifacts artifacts, MyelinOptions options)
{
    /// <summary>Larger than any small input ever was, also under other options.</summary>
    private const int LargestSmall = 1 << 20;

    /// <summary>Stores the large ones; describes all; returns the small ones for the insert.</summary>
    /// <exception cref="ArtifactsFullException">No space.</exception>
    public async ValueTask<(ImmutableArray<JobArtifact> Described, ImmutableArray<SmallInput> Small)> AcceptAsync(
        string id, ImmutableArray<SubmittedFile> files, CancellationToken cancellationToken)
    {
        var described = ImmutableArray.CreateBuilder<JobArtifact>(files.Length);
        var small = ImmutableArray.CreateBuilder<SmallInput>();
        foreach (var file in files)
        {
            if (file.Content.CanSeek && file.Content.Length <= options.Jobs.SmallInputBytes)
            {
                var content = new byte[file.Content.Length];
                await file.Content.ReadExactlyAsync(content, cancellationToken);
                small.Add(new SmallInput(file.Name, content));
                described.Add(new JobArtifact(file.Name, file.ContentType, content.Length, Convert.ToHexStringLower(SHA256.HashData(content))));
            }
            else
            {
                var blob = await artifacts.PutAsync(id, JobBlobs.InputName(file.Name), file.ContentType, file.Content, cancellationToken);
                described.Add(blob with { Name = file.Name });
            }
        }

        return (described.MoveToImmutable(), small.DrainToImmutable());
    }

    /// <summary>The content, seekable; null when it is gone.</summary>
    public async ValueTask<Stream?> OpenAsync(string id, JobArtifact input, CancellationToken cancellationToken) =>
        input.Size <= LargestSmall && await store.ReadInputAsync(id, input.Name, cancellationToken) is { } content
            ? Blobs.Reading(content)
            : await artifacts.OpenAsync(id, JobBlobs.InputName(input.Name), cancellationToken);

    /// <summary>An address in the store of blobs; null for small inputs, which are in the database, and stores without addresses.</summary>
    public Uri? Link(string id, JobArtifact input, string disposition) =>
        input.Size <= LargestSmall ? null : artifacts.Link(id, JobBlobs.InputName(input.Name), input.ContentType, disposition);

    /// <summary>The whole content; null when it is gone.</summary>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(string id, JobArtifact input, CancellationToken cancellationToken)
    {
        if (input.Size <= LargestSmall && await store.ReadInputAsync(id, input.Name, cancellationToken) is { } small)
        {
            return small;
        }

        var content = await artifacts.OpenAsync(id, JobBlobs.InputName(input.Name), cancellationToken);
        if (content is null)
        {
            return null;
        }

        await using (content)
        {
            var bytes = new byte[content.Length];
            await content.ReadExactlyAsync(bytes, cancellationToken);
            return bytes;
        }
    }
}
