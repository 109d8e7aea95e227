using System.Buffers;
using System.Runtime.InteropServices;

namespace Myelin.Inference.Runtimes;

/// <summary>
/// A named, dense, row-major, little-endian block of numbers. Owns its memory: dispose returns a rented buffer or
/// frees what the runtime allocated. Not thread-safe; one owner at a time.
/// </summary>
public sealed class Tensor : IDisposable
{
    private IDisposable? _owner;

    public Tensor(string name, ElementType type, long[] shape, Memory<byte> bytes, IDisposable? owner = null)
    {
        var size = type.Size();
        if (size != 0 && Elements(shape) * size != bytes.Length)
        {
            throw new ArgumentException(
                $"tensor '{name}' of shape [{string.Join(',', shape)}] needs {Elements(shape) * size} bytes, got {bytes.Length}", nameof(bytes));
        }

        (Name, Type, Shape, Bytes, _owner) = (name, type, shape, bytes, owner);
    }

    public string Name { get; }

    public ElementType Type { get; }

    /// <summary>Length of each dimension, outermost first. Empty for a scalar.</summary>
    public long[] Shape { get; }

    public Memory<byte> Bytes { get; }

    /// <summary>The elements as <typeparamref name="T"/>, no copy. The caller picks the type that fits <see cref="Type"/>.</summary>
    public Span<T> As<T>() where T : unmanaged => MemoryMarshal.Cast<byte, T>(Bytes.Span);

    /// <summary>A tensor over a pooled buffer; its content is not cleared.</summary>
    public static Tensor Rent(string name, ElementType type, params long[] shape)
    {
        var length = checked((int)(Elements(shape) * type.Size()));
        var rented = MemoryPool<byte>.Shared.Rent(Math.Max(length, 1));
        return new Tensor(name, type, shape, rented.Memory[..length], rented);
    }

    /// <summary>A tensor that copies <paramref name="values"/>.</summary>
    public static Tensor Of<T>(string name, ElementType type, ReadOnlySpan<T> values, params long[] shape) where T : unmanaged
    {
        var tensor = Rent(name, type, shape);
        MemoryMarshal.AsBytes(values).CopyTo(tensor.Bytes.Span);
        return tensor;
    }

    public static long Elements(ReadOnlySpan<long> shape)
    {
        var count = 1L;
        foreach (var dimension in shape)
        {
            count = checked(count * dimension);
        }

        return count;
    }

    public void Dispose() => Interlocked.Exchange(ref _owner, null)?.Dispose();
}
