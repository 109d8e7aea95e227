using System.Collections.Concurrent;

namespace Myelin.Server.Jobs;

/// <summary>The newest preview picture of running jobs, in memory only. Full = jobs beyond the limit have none.</summary>
internal sealed class JobPreviews
{
    private const int Jobs = 256;
    private const int Bytes = 512 << 10;

    private readonly ConcurrentDictionary<string, ReadOnlyMemory<byte>> _pictures = new(StringComparer.Ordinal);

    /// <summary>A JPEG; null when there is none.</summary>
    public ReadOnlyMemory<byte>? Find(string job) => _pictures.TryGetValue(job, out var picture) ? picture : (ReadOnlyMemory<byte>?)null;

    public void Put(string job, ReadOnlyMemory<byte> jpeg)
    {
        if (jpeg.Length <= Bytes && (_pictures.Count < Jobs || _pictures.ContainsKey(job)))
        {
            _pictures[job] = jpeg;
        }
    }

    public void Clear() => _pictures.Clear();

    public void Remove(string job) => _pictures.TryRemove(job, out _);
}
