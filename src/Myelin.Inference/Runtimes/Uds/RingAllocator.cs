using System.Numerics;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>A piece of a ring's part. Default: none.</summary>
/// <param name="Block">The allocator's own number.</param>
/// <param name="Offset">From the begin of the file.</param>
internal readonly record struct RingSlot(int Block, long Offset);

/// <summary>
/// Says which places of one part of a ring are in use: two-level segregated fit, in the owner's own memory, so that
/// nothing in the shared file can break. Takes and gives back in constant time apart from a look through the blocks of
/// about the wanted size; neighbours that are free are joined at once. Fails only where no free block is large enough.
/// Safe for concurrent use. Places begin at multiples of 64.
/// </summary>
internal sealed class RingAllocator
{
    private const int Unit = 64;
    private const int SubBits = 4; // 16 lists per power of two: a list's blocks differ by at most 1/16
    private const int Lists = 28 << SubBits;
    private const int None = -1;

    private readonly Lock _lock = new();
    private readonly long _begin;
    private readonly int[] _heads = new int[Lists];
    private readonly ulong[] _filled = new ulong[(Lists + 63) / 64];
    private Block[] _blocks = new Block[64];
    private int _spare = None;
    private int _made;
    private long _usedUnits;
    private int _places;

    /// <param name="offset">Where the part begins in the file.</param>
    /// <param name="bytes">Its size, at most 64 GiB.</param>
    public RingAllocator(long offset, long bytes)
    {
        _begin = (offset + Unit - 1) / Unit * Unit;
        var units = (offset + bytes - _begin) / Unit;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(units, 1 << 30, nameof(bytes));
        Array.Fill(_heads, None);
        if (units > 0)
        {
            var whole = Make();
            _blocks[whole] = new Block { Size = (int)units, Before = None, After = None };
            Insert(whole);
        }
    }

    /// <summary>Bytes in use, rounded up to 64 each.</summary>
    public long UsedBytes
    {
        get
        {
            lock (_lock)
            {
                return _usedUnits * Unit;
            }
        }
    }

    /// <summary>Places in use.</summary>
    public int Places
    {
        get
        {
            lock (_lock)
            {
                return _places;
            }
        }
    }

    /// <summary>Takes a place.</summary>
    /// <returns>False where no free block is large enough.</returns>
    public bool TryTake(long bytes, out RingSlot slot)
    {
        slot = default;
        var wanted = Math.Max(1, (bytes + Unit - 1) / Unit);
        if (wanted > 1 << 30)
        {
            return false;
        }

        lock (_lock)
        {
            var size = (int)wanted;
            var block = Find(size);
            if (block == None)
            {
                return false;
            }

            Remove(block);
            Split(block, size);
            _blocks[block].Used = true;
            _usedUnits += size;
            _places++;
            slot = new RingSlot(block, _begin + ((long)_blocks[block].Start * Unit));
            return true;
        }
    }

    /// <summary>Gives a place back.</summary>
    public void Return(RingSlot slot)
    {
        lock (_lock)
        {
            var block = slot.Block;
            if (!_blocks[block].Used)
            {
                throw new InvalidOperationException($"the place at {slot.Offset} is free already");
            }

            _blocks[block].Used = false;
            _usedUnits -= _blocks[block].Size;
            _places--;
            if (_blocks[block].After is var after and not None && !_blocks[after].Used)
            {
                Remove(after);
                Join(block, after);
            }

            if (_blocks[block].Before is var before and not None && !_blocks[before].Used)
            {
                Remove(before);
                Join(before, block);
                block = before;
            }

            Insert(block);
        }
    }

    private int Find(int size)
    {
        // A block of this list may be a little too small; all of a later list fit.
        var list = List(size);
        for (var block = _heads[list]; block != None; block = _blocks[block].NextFree)
        {
            if (_blocks[block].Size >= size)
            {
                return block;
            }
        }

        list++;
        for (var word = list >> 6; word < _filled.Length; word++)
        {
            var bits = word == list >> 6 ? _filled[word] & (ulong.MaxValue << (list & 63)) : _filled[word];
            if (bits != 0)
            {
                return _heads[(word << 6) + BitOperations.TrailingZeroCount(bits)];
            }
        }

        return None;
    }

    /// <summary>Leaves <paramref name="size"/> units to the block and makes the rest a free one.</summary>
    private void Split(int block, int size)
    {
        var rest = _blocks[block].Size - size;
        if (rest == 0)
        {
            return;
        }

        var other = Make();
        ref var first = ref _blocks[block];
        _blocks[other] = new Block { Start = first.Start + size, Size = rest, Before = block, After = first.After };
        if (first.After != None)
        {
            _blocks[first.After].Before = other;
        }

        first.After = other;
        first.Size = size;
        Insert(other);
    }

    private void Join(int first, int second)
    {
        _blocks[first].Size += _blocks[second].Size;
        _blocks[first].After = _blocks[second].After;
        if (_blocks[second].After is var after and not None)
        {
            _blocks[after].Before = first;
        }

        _blocks[second].NextFree = _spare;
        _spare = second;
    }

    private void Insert(int block)
    {
        var list = List(_blocks[block].Size);
        _blocks[block].PreviousFree = None;
        _blocks[block].NextFree = _heads[list];
        if (_heads[list] != None)
        {
            _blocks[_heads[list]].PreviousFree = block;
        }

        _heads[list] = block;
        _filled[list >> 6] |= 1UL << (list & 63);
    }

    private void Remove(int block)
    {
        var (previous, next) = (_blocks[block].PreviousFree, _blocks[block].NextFree);
        if (next != None)
        {
            _blocks[next].PreviousFree = previous;
        }

        if (previous != None)
        {
            _blocks[previous].NextFree = next;
            return;
        }

        var list = List(_blocks[block].Size);
        _heads[list] = next;
        if (next == None)
        {
            _filled[list >> 6] &= ~(1UL << (list & 63));
        }
    }

    private int Make()
    {
        if (_spare != None)
        {
            var spare = _spare;
            _spare = _blocks[spare].NextFree;
            return spare;
        }

        if (_made == _blocks.Length)
        {
            Array.Resize(ref _blocks, 2 * _blocks.Length);
        }

        return _made++;
    }

    private static int List(int size)
    {
        if (size < 1 << SubBits)
        {
            return size;
        }

        var power = BitOperations.Log2((uint)size);
        return ((power - SubBits + 1) << SubBits) + ((size >> (power - SubBits)) & ((1 << SubBits) - 1));
    }

    private struct Block
    {
        public int Start;
        public int Size;
        public int Before;
        public int After;
        public int PreviousFree;
        public int NextFree;
        public bool Used;
    }
}
