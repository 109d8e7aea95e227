using System.Runtime.InteropServices;
using System.Text;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>One tensor of a message and where its bytes go.</summary>
internal struct OutgoingTensor
{
    public Tensor Tensor;

    /// <summary>Its place in the ring, in use until the message is done with; null: inline or empty.</summary>
    public RingPlace? Place;

    /// <summary>In the ring's file, or among the inline bytes.</summary>
    public long Offset;
}

/// <summary>
/// The tensors of an INFER or RESULT on their way out: which lie in the ring, which follow inline, how the head says so,
/// and how far the inline bytes have gone. Built by one caller, then owned by the <see cref="FrameWriter"/>.
/// </summary>
internal sealed class OutgoingMessage
{
    /// <summary>A message with fewer inline bytes than this is copied and leaves with its head in one write.</summary>
    public const int CopyBelow = 16 * 1024;

    private readonly OutgoingTensor[] _tensors;
    private int _tensor;
    private int _given;
    private long _end;

    /// <param name="type">INFER or RESULT.</param>
    /// <param name="tensors">As <see cref="Refuse"/> lets them pass; the caller's until the message is done with.</param>
    public OutgoingMessage(FrameType type, IReadOnlyList<Tensor> tensors)
    {
        Type = type;
        _tensors = tensors.Count == 0 ? [] : new OutgoingTensor[tensors.Count];
        for (var i = 0; i < _tensors.Length; i++)
        {
            _tensors[i].Tensor = tensors[i];
            HeadBytes += TensorHead.Size(Encoding.UTF8.GetByteCount(tensors[i].Name), tensors[i].Shape.Length);
        }
    }

    public FrameType Type { get; }

    public ulong Call { get; set; }

    public int Model { get; init; }

    public ulong Time { get; set; }

    /// <summary>Bytes that follow in DATA frames.</summary>
    public long Inline { get; private set; }

    /// <summary>Tensor bytes of the message, inline or not.</summary>
    public long Total { get; private set; }

    public int HeadBytes { get; private set; } = CallHead.FixedBytes;

    /// <summary>Runs once when the inline bytes have been handed to the kernel or the connection has ended. Null: nobody asks.</summary>
    public Action? Sent { get; set; }

    /// <summary>The writer holds the tensors' memory; under its lock.</summary>
    public bool IsSending { get; set; }

    /// <summary>A tensor has a place in the ring.</summary>
    public bool UsesRing { get; private set; }

    /// <summary>What keeps these tensors from being sent.</summary>
    /// <returns>Null where nothing does; otherwise a sentence.</returns>
    public static string? Refuse(IReadOnlyList<Tensor> tensors)
    {
        if (tensors.Count > SidecarLimits.Tensors)
        {
            return $"{tensors.Count} tensors; a message has at most {SidecarLimits.Tensors}";
        }

        for (var i = 0; i < tensors.Count; i++)
        {
            var name = tensors[i].Name;
            if (name.Length == 0 || tensors[i].Shape.Length > SidecarLimits.Rank || Encoding.UTF8.GetByteCount(name) > SidecarLimits.NameBytes)
            {
                return $"tensor '{name}': a name has 1 to {SidecarLimits.NameBytes} bytes, a shape at most {SidecarLimits.Rank} dimensions";
            }

            for (var other = 0; other < i; other++)
            {
                if (tensors[other].Name == name)
                {
                    return $"two tensors are named '{name}'";
                }
            }
        }

        return null;
    }

    /// <summary>
    /// Finds a place for each tensor: where it is, if that is this side's part of the ring; copied there, if it is worth
    /// it and there is room, for which it may wait; inline otherwise.
    /// </summary>
    /// <returns>True when all have one; false where <see cref="PlaceAsync"/> should wait for room.</returns>
    public bool TryPlace(RingArena? arena, int inlineBelow)
    {
        for (; _tensor < _tensors.Length; _tensor++)
        {
            ref var item = ref _tensors[_tensor];
            if (!TryPlace(ref item, arena, inlineBelow))
            {
                return false;
            }
        }

        _tensor = 0;
        return true;
    }

    /// <summary>The same with patience: a tensor for which no room comes free in time goes inline.</summary>
    public async ValueTask PlaceAsync(RingArena arena, int inlineBelow, TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        while (!TryPlace(arena, inlineBelow))
        {
            var bytes = _tensors[_tensor].Tensor.Bytes.Length;
            if (await arena.RentAsync(bytes, patience, time, cancellationToken).ConfigureAwait(false) is { } place)
            {
                Copy(ref _tensors[_tensor], place);
            }
            else
            {
                Follow(ref _tensors[_tensor]);
                patience = TimeSpan.Zero; // waiting once is enough for one message
            }

            _tensor++;
        }
    }

    public int Write(Span<byte> destination)
    {
        var head = new CallHeadWriter(destination, Model, _tensors.Length, 0, Time, (ulong)Inline);
        foreach (ref var item in _tensors.AsSpan())
        {
            head.Tensor(item.Tensor.Name, item.Tensor.Type, item.Tensor.Shape, item.Place is null ? TensorPlace.Inline : TensorPlace.Ring, item.Offset, item.Tensor.Bytes.Length);
        }

        return head.Written;
    }

    /// <summary>All inline bytes at once.</summary>
    public void WriteInline(Span<byte> destination)
    {
        foreach (ref var item in _tensors.AsSpan())
        {
            if (item.Place is null)
            {
                item.Tensor.Bytes.Span.CopyTo(destination[(int)item.Offset..]);
            }
        }
    }

    /// <summary>The next inline bytes, at most <paramref name="most"/>.</summary>
    /// <param name="gap">Bytes of any content to send before them.</param>
    /// <returns>Empty when all have been given.</returns>
    public ReadOnlyMemory<byte> Next(int most, out int gap)
    {
        gap = 0;
        for (; _tensor < _tensors.Length; _tensor++, _given = 0)
        {
            ref var item = ref _tensors[_tensor];
            var bytes = item.Tensor.Bytes;
            if (item.Place is not null || _given == bytes.Length)
            {
                continue;
            }

            if (_given == 0)
            {
                gap = (int)(item.Offset - _end);
            }

            var chunk = bytes.Slice(_given, Math.Min(most - gap, bytes.Length - _given));
            _given += chunk.Length;
            _end = item.Offset + _given;
            return chunk;
        }

        return default;
    }

    /// <summary>All inline bytes have been given by <see cref="Next"/>.</summary>
    public bool IsGiven => _end == Inline;

    /// <summary>The places are this message's no more.</summary>
    public void EndUses()
    {
        foreach (ref var item in _tensors.AsSpan())
        {
            item.Place?.EndUse();
            item.Place = null;
        }
    }

    /// <summary>
    /// Copies inline tensors that lie in the other side's part of the ring: an answer that gives an input back must not read
    /// it once its head is out.
    /// </summary>
    public void Detach()
    {
        foreach (ref var item in _tensors.AsSpan())
        {
            if (item.Place is null && MemoryMarshal.TryGetMemoryManager<byte, RingView>(item.Tensor.Bytes, out _))
            {
                item.Tensor = new Tensor(item.Tensor.Name, item.Tensor.Type, item.Tensor.Shape, item.Tensor.Bytes.ToArray());
            }
        }
    }

    private bool TryPlace(ref OutgoingTensor item, RingArena? arena, int inlineBelow)
    {
        var bytes = item.Tensor.Bytes;
        if (bytes.IsEmpty)
        {
            return true;
        }

        if (arena is null)
        {
            Follow(ref item);
            return true;
        }

        if (MemoryMarshal.TryGetMemoryManager<byte, RingPlace>(bytes, out var place, out var start, out _)
            && place.Arena == arena && start % SidecarLimits.Alignment == 0)
        {
            place.AddUse();
            Lie(ref item, place, place.Offset + start);
            return true;
        }

        if (bytes.Length < inlineBelow || bytes.Length > arena.Bytes)
        {
            Follow(ref item);
            return true;
        }

        if (arena.TryRent(bytes.Length) is { } fresh)
        {
            Copy(ref item, fresh);
            return true;
        }

        return false;
    }

    /// <summary>The use that a fresh place begins with becomes the message's.</summary>
    private void Copy(ref OutgoingTensor item, RingPlace place)
    {
        item.Tensor.Bytes.Span.CopyTo(place.GetSpan());
        Lie(ref item, place, place.Offset);
    }

    private void Lie(ref OutgoingTensor item, RingPlace place, long offset)
    {
        item.Place = place;
        item.Offset = offset;
        UsesRing = true;
        Total += item.Tensor.Bytes.Length;
    }

    private void Follow(ref OutgoingTensor item)
    {
        item.Offset = SidecarLimits.Align(Inline);
        Inline = item.Offset + item.Tensor.Bytes.Length;
        Total += item.Tensor.Bytes.Length;
    }
}
