using System.Buffers;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// An INFER or RESULT on its way in: the head's content and the inline bytes as they come. Filled by the thread that reads
/// the connection; the tensors are made when it is whole.
/// </summary>
internal sealed class IncomingMessage
{
    private readonly Item[] _items;
    private readonly InlineBytes? _inline;
    private readonly int _announced;
    private int _filled;

    /// <param name="head">Checked, and within the agreed size.</param>
    /// <param name="names">Strings of names that have come before.</param>
    /// <exception cref="OutOfMemoryException">The inline bytes do not fit; nothing is held.</exception>
    public IncomingMessage(ref readonly CallHead head, NameCache names)
    {
        Time = head.Time;
        _items = head.Count == 0 ? [] : new Item[head.Count];
        var i = 0;
        var inline = 0;
        foreach (var tensor in head)
        {
            _items[i++] = new Item(names.Get(tensor.Name), tensor.Type, tensor.Shape(), tensor.Place, tensor.Offset, (int)tensor.Bytes);
            inline += tensor is { Place: TensorPlace.Inline, Bytes: > 0 } ? 1 : 0;
            RingTensors += tensor.Place == TensorPlace.Ring ? 1 : 0;
            RingBytes += tensor.Place == TensorPlace.Ring ? tensor.Bytes : 0;
        }

        _announced = (int)head.Inline;
        _inline = _announced > 0 ? new InlineBytes(_announced, inline) : null;
    }

    public ulong Time { get; }

    public int RingTensors { get; }

    public long RingBytes { get; }

    public bool IsWhole => _filled == _announced;

    /// <summary>Where the next inline bytes go.</summary>
    /// <exception cref="BadFrameException">More than the head announced.</exception>
    public Span<byte> Destination(int length) => length <= _announced - _filled
        ? _inline!.Bytes.AsSpan(_filled, length)
        : throw new BadFrameException($"DATA of {length} bytes where {_announced - _filled} are left");

    public void Filled(int length) => _filled += length;

    /// <summary>The tensors of a whole message; the caller disposes them.</summary>
    /// <param name="ring">Null where there is none; then no tensor lies in it.</param>
    /// <param name="loan">Told when a tensor in the ring is disposed; null: nobody waits for that.</param>
    public TensorSet Take(SharedRing? ring, RingLoan? loan)
    {
        var tensors = new Tensor[_items.Length];
        for (var i = 0; i < tensors.Length; i++)
        {
            ref readonly var item = ref _items[i];
            if (item.Bytes == 0)
            {
                tensors[i] = new Tensor(item.Name, item.Type, item.Shape, Memory<byte>.Empty);
            }
            else if (item.Place == TensorPlace.Ring)
            {
                if (!ring!.TryAddReference())
                {
                    throw new InvalidOperationException("the ring ended before its connection");
                }

                var view = new RingView(ring, item.Offset, item.Bytes, loan);
                tensors[i] = new Tensor(item.Name, item.Type, item.Shape, view.Memory, view);
            }
            else
            {
                tensors[i] = new Tensor(item.Name, item.Type, item.Shape, _inline!.Bytes.AsMemory((int)item.Offset, item.Bytes), _inline);
            }
        }

        if (_inline is not null && !_inline.IsLent)
        {
            _inline.Dispose(); // inline bytes that no tensor claims
        }

        return new TensorSet(tensors);
    }

    /// <summary>Gives the memory back where <see cref="Take"/> never came.</summary>
    public void Drop() => _inline?.Drop();

    private readonly record struct Item(string Name, ElementType Type, long[] Shape, TensorPlace Place, long Offset, int Bytes);

    /// <summary>The inline bytes of one message, shared by its tensors; the last of them that is disposed gives the array back.</summary>
    private sealed class InlineBytes(int length, int tensors) : IDisposable
    {
        private byte[]? _array = ArrayPool<byte>.Shared.Rent(length);
        private int _tensors = tensors;

        public byte[] Bytes => _array ?? throw new ObjectDisposedException(nameof(Tensor));

        public bool IsLent => _tensors > 0;

        public void Dispose()
        {
            if (Interlocked.Decrement(ref _tensors) <= 0)
            {
                Drop();
            }
        }

        public void Drop()
        {
            if (Interlocked.Exchange(ref _array, null) is { } array)
            {
                ArrayPool<byte>.Shared.Return(array);
            }
        }
    }
}
