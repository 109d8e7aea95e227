using System.Collections.Concurrent;
using System.Security.Cryptography;
using Myelin.Hosting.Configuration;

namespace Myelin.Serving.Models.Catalogue;

/// <summary>A folder of model files under any names, found by content: asked before any download.</summary>
internal sealed class ModelMirror(MyelinOptions options)
{
    private readonly ConcurrentDictionary<(string Path, DateTime Written), string> _hashes = [];

    /// <summary>The path of a file with these bytes, or null. Hashes only files of the right size, each once.</summary>
    public async ValueTask<string?> FindAsync(CatalogueFile wanted, CancellationToken cancellationToken)
    {
        if (options.ModelMirror is not { } folder || !Directory.Exists(folder))
        {
            return null;
        }

        foreach (var file in new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Where(f => f.Length == wanted.Size))
        {
            var key = (file.FullName, file.LastWriteTimeUtc);
            if (!_hashes.TryGetValue(key, out var hash))
            {
                _hashes[key] = hash = await HashAsync(file.FullName, cancellationToken);
            }

            if (hash == wanted.Sha256)
            {
                return file.FullName;
            }
        }

        return null;
    }

    /// <summary>SHA-256 of a file as lower-case hex.</summary>
    public static async Task<string> HashAsync(string path, CancellationToken cancellationToken)
    {
        await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.Asynchronous | FileOptions.SequentialScan);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellationToken));
    }
}
