namespace Myelin.Jobs;

/// <summary>The newest preview picture of running jobs, in memory only. Full = the longest unchanged one goes.</summary>
internal sealed class JobPreviews(TimeSpan longest, TimeProvider time)
{
    private const int Jobs = 256;
    private const int Bytes = 512 << 10;

    private readonly LastHeard<ReadOnlyMemory<byte>> _pictures = new(Jobs, longest, time);

    /// <summary>A JPEG; null when there is none.</summary>
    public ReadOnlyMemory<byte>? Find(string job) => _pictures.TryGet(job, out var picture) ? picture : (ReadOnlyMemory<byte>?)null;

    public void Put(string job, ReadOnlyMemory<byte> jpeg)
    {
        if (jpeg.Length <= Bytes)
        {
            _pictures.Put(job, jpeg);
        }
    }

    public void Remove(string job) => _pictures.Remove(job);
}
