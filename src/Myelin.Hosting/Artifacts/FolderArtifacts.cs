using System.Security.Cryptography;
using System.Text;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Artifacts;

/// <summary>
/// Blobs as files: <c>&lt;root&gt;/&lt;last two characters of the job&gt;/&lt;job&gt;/&lt;name&gt;</c> (the first ones are a
/// date and would put everything in one folder). A blob is written beside its place, synced, renamed and its folder
/// synced: after a power cut it is whole or not there.
/// </summary>
internal sealed class FolderArtifacts : IArtifacts
{
    private const int BufferSize = 128 << 10;
    private const string Temporary = ".tmp-";

    // errno, which .NET gives as it is: EROFS, EIO.
    private const int ReadOnly = 30;
    private const int BrokenDisk = 5;

    private static readonly EnumerationOptions s_accessible = new() { AttributesToSkip = FileAttributes.None };

    private readonly string _root;

    public FolderArtifacts(string root)
    {
        _root = Path.GetFullPath(root);
        DataFolder.Make(_root);
        DataFolder.Tighten(_root); // blobs of before are let alone: nobody else comes past this folder
    }

    public async ValueTask<JobArtifact> PutAsync(string job, string name, string contentType, Stream content, CancellationToken cancellationToken)
    {
        var folder = Folder(job);
        var path = Path.Combine(folder, BlobName.Checked(name));
        var temporary = Path.Combine(folder, Temporary + Guid.NewGuid().ToString("n"));
        try
        {
            var isNew = !Directory.Exists(folder);
            DataFolder.Make(Path.GetDirectoryName(folder)!);
            DataFolder.Make(folder);
            var (size, hash) = await WriteAsync(temporary, content, cancellationToken);
            File.Move(temporary, path, overwrite: true);
            Durable.SyncFolder(folder);
            if (isNew)
            {
                Durable.SyncFolder(Path.GetDirectoryName(folder)!);
                Durable.SyncFolder(_root);
            }

            return new JobArtifact(name, contentType, size, hash);
        }
        catch (IOException e) when (Durable.IsFull(e))
        {
            Discard(temporary, folder);
            throw new ArtifactsFullException($"No space for the blob '{name}' ({e.Message}). Free space on the data disk.", e);
        }
        catch
        {
            Discard(temporary, folder);
            throw;
        }
    }

    public ValueTask<Stream?> OpenAsync(string job, string name, CancellationToken cancellationToken)
    {
        try
        {
            return ValueTask.FromResult<Stream?>(new FileStream(
                Path.Combine(Folder(job), BlobName.Checked(name)),
                new FileStreamOptions { Access = FileAccess.Read, Share = FileShare.Read | FileShare.Delete, Options = FileOptions.Asynchronous }));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return ValueTask.FromResult<Stream?>(null);
        }
    }

    public Uri? Link(string job, string name, string contentType, string disposition) => null;

    public ValueTask DeleteAsync(IReadOnlyCollection<string> jobs, CancellationToken cancellationToken)
    {
        var kept = new List<(string Job, Exception Fault)>();
        foreach (var job in jobs)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                Directory.Delete(Folder(job), recursive: true);
            }
            catch (DirectoryNotFoundException)
            {
                // Nothing there is what was asked for.
            }
            catch (IOException e) when (e.HResult is ReadOnly or BrokenDisk)
            {
                return ValueTask.FromException(new ArtifactsUnavailableException(e.Message, e)); // the disk's matter, not this job's
            }
            catch (Exception e)
            {
                // Whatever it is: a path that is too long is an ArgumentException.
                kept.Add((job, e));
            }
        }

        return kept is [var (first, fault), ..]
            ? ValueTask.FromException(new ArtifactsUndeletableException(kept.Count, first, fault.Message, fault))
            : ValueTask.CompletedTask;
    }

    public string MarkPlace => Path.Combine(_root, BlobName.Mark);

    public async ValueTask<string?> ReadMarkAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var reader = new StreamReader(MarkPlace);
            var text = new char[BlobName.MarkLength];
            return new string(text, 0, await reader.ReadBlockAsync(text, cancellationToken));
        }
        catch (FileNotFoundException)
        {
            return null;
        }
    }

    public async ValueTask WriteMarkAsync(string mark, CancellationToken cancellationToken)
    {
        var temporary = Path.Combine(_root, Temporary + BlobName.Mark);
        File.Delete(temporary);
        await WriteAsync(temporary, new MemoryStream(Encoding.UTF8.GetBytes(mark)), cancellationToken);
        File.Move(temporary, MarkPlace, overwrite: true);
        Durable.SyncFolder(_root);
    }

    public IAsyncEnumerable<string> ListJobsAsync(CancellationToken cancellationToken) => Jobs().ToAsyncEnumerable();

    /// <summary>A folder that does not stand where its name belongs is told with its place: no job's id.</summary>
    private IEnumerable<string> Jobs() =>
        from shard in new DirectoryInfo(_root).EnumerateDirectories("*", s_accessible)
        from folder in shard.EnumerateDirectories("*", s_accessible)
        select folder.Name.EndsWith(shard.Name, StringComparison.Ordinal) ? folder.Name : Path.Combine(shard.Name, folder.Name);

    private static async Task<(long Size, string Hash)> WriteAsync(string path, Stream content, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            var file = new FileStream(path, DataFolder.Private(new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0 }));
            await using (file)
            {
                var size = 0L;
                int read;
                while ((read = await content.ReadAsync(buffer.AsMemory(0, BufferSize), cancellationToken)) > 0)
                {
                    hash.AppendData(buffer, 0, read);
                    await file.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
                    size += read;
                }

                file.Flush(flushToDisk: true);
                return (size, Convert.ToHexStringLower(hash.GetHashAndReset()));
            }
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static void Discard(string temporary, string folder)
    {
        try
        {
            File.Delete(temporary);
            if (Directory.Exists(folder) && !Directory.EnumerateFileSystemEntries(folder).Any())
            {
                Directory.Delete(folder);
            }
        }
        catch (IOException)
        {
            // The coordinator's sweep takes what is left.
        }
    }

    private string Folder(string job) => Path.Combine(_root, BlobName.Checked(job)[^2..], job);
}
