using System.Buffers;

namespace Myelin.Jobs;

/// <summary>A growing buffer from the shared pool. One owner.</summary>
internal sealed class RentedBytes(int capacity) : IDisposable
{
    private byte[]? _array = ArrayPool<byte>.Shared.Rent(capacity);

    public int Length { get; private set; }

    public Memory<byte> Memory => _array.AsMemory(0, Length);

    public Memory<byte> Free(int atLeast)
    {
        var array = _array ?? throw new ObjectDisposedException(nameof(RentedBytes));
        if (array.Length - Length < atLeast)
        {
            var larger = ArrayPool<byte>.Shared.Rent(checked(Math.Max(array.Length * 2, Length + atLeast)));
            array.AsSpan(0, Length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(array);
            _array = array = larger;
        }

        return array.AsMemory(Length);
    }

    public void Advance(int count) => Length += count;

    public void Append(ReadOnlySequence<byte> bytes)
    {
        var length = checked((int)bytes.Length);
        bytes.CopyTo(Free(length).Span);
        Advance(length);
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _array, null) is { } array)
        {
            ArrayPool<byte>.Shared.Return(array);
        }
    }
}
