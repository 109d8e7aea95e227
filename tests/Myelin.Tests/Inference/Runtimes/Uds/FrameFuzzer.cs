using System.Buffers.Binary;
using System.Text;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>Frames as a peer might send them that is right most of the time: sound ones in any order, some of them damaged, some plain noise.</summary>
internal sealed class FrameFuzzer(int seed, RingPart? part)
{
    private readonly Random _random = new(seed);
    private readonly List<ulong> _open = [];
    private ulong _call = 1;
    private bool _wild;

    /// <summary>
    /// Frames of one batch. A wild one breaks a rule before long; the others go deep: nothing in them but the noise at
    /// their end ends a connection. Each PING holds its place in the batch, so that the PONGs tell how far the peer came.
    /// </summary>
    /// <param name="calls">From the sidecar: calls 1 to this are open. From the worker: 0, it begins its own.</param>
    public byte[] Batch(int frames, bool fromWorker, bool wild, int calls)
    {
        _wild = wild;
        _call = (ulong)Math.Max(1, calls);
        _open.AddRange(Enumerable.Range(1, calls).Select(call => (ulong)call));
        using var bytes = new MemoryStream();
        for (var i = 0; i < frames; i++)
        {
            var frame = _random.Next(4) == 0 ? Ping(i) : fromWorker ? FromWorker(i) : FromSidecar(i);
            if (wild && _random.Next(40) == 0)
            {
                Damage(frame);
            }

            bytes.Write(wild && _random.Next(400) == 0 ? frame.AsSpan(0, _random.Next(frame.Length)) : frame);
        }

        bytes.Write(Noise(_random.Next(100)));
        return bytes.ToArray();
    }

    private byte[] FromWorker(int at) => _random.Next(12) switch
    {
        5 when _wild => WirePeer.Frame(FrameType.Data, AnyCall(), Noise(_random.Next(1, 300))),
        6 => WirePeer.Frame(FrameType.Cancel, _wild ? AnyCall() : (ulong)_random.NextInt64(1, (long)_call + 1)),
        7 => Ping(at),
        8 => WirePeer.Frame(FrameType.Pong, 0, Noise(8)),
        9 => Extension(),
        10 when _wild && _random.Next(4) == 0 => WirePeer.Frame(FrameType.Release, AnyCall()),
        11 when _wild && _random.Next(20) == 0 => WirePeer.Frame((FrameType)_random.Next(256), AnyCall(), Noise(_random.Next(100))),
        _ => Infer(),
    };

    private byte[] FromSidecar(int at) => _random.Next(12) switch
    {
        0 when _wild || _open.Count > 0 => Result(),
        1 when _wild => WirePeer.Frame(FrameType.Data, AnyCall(), Noise(_random.Next(1, 300))),
        2 when _wild || (_open.Count > 0 && _random.Next(4) == 0) => WirePeer.Frame(FrameType.Error, Closing(), new SidecarError("failed", "fuzz", _random.Next(2) == 0).Write()),
        3 when _wild && _random.Next(20) == 0 => WirePeer.Frame((FrameType)_random.Next(256), AnyCall(), Noise(_random.Next(100))),
        4 when _wild || _open.Count > 0 => WirePeer.Frame(FrameType.Progress, _wild ? AnyCall() : _open[_random.Next(_open.Count)], Noise(8 + _random.Next(50))),
        5 => Extension(),
        6 => WirePeer.Frame(FrameType.Pong, 0, Noise(8)),
        _ => Ping(at),
    };

    private byte[] Result()
    {
        var (call, head) = (Closing(), Head(out var inline));
        var frame = WirePeer.Frame(FrameType.Result, call, head);
        return inline == 0 || (_wild && _random.Next(10) == 0) ? frame : [.. frame, .. WirePeer.Frame(FrameType.Data, call, Noise(inline))];
    }

    private static byte[] Ping(int at) => WirePeer.Frame(FrameType.Ping, 0, BitConverter.GetBytes((long)at));

    private byte[] Extension() => WirePeer.Frame((FrameType)_random.Next(128, 256), (ulong)_random.NextInt64(), Noise(_random.Next(200)));

    /// <summary>The call that an answer ends.</summary>
    private ulong Closing()
    {
        if (_wild || _open.Count == 0)
        {
            return AnyCall();
        }

        var call = _open[_random.Next(_open.Count)];
        _open.Remove(call);
        return call;
    }

    private byte[] Infer()
    {
        _call += (ulong)_random.Next(1, 3);
        var head = Head(out var inline);
        var frame = WirePeer.Frame(FrameType.Infer, _call, head);
        return inline == 0 || _random.Next(10) == 0 ? frame : [.. frame, .. WirePeer.Frame(FrameType.Data, _call, Noise(inline))];
    }

    private byte[] Head(out int inline)
    {
        var shapes = Enumerable.Range(0, _random.Next(4)).Select(_ => new[] { _random.NextInt64(20), _random.NextInt64(1, 20) }).ToArray();
        var writes = new List<(string Name, ElementType Type, long[] Shape, TensorPlace Place, long Offset, long Bytes)>();
        inline = 0;
        foreach (var shape in shapes)
        {
            var type = (ElementType)_random.Next(12); // all but BYTES
            var bytes = shape[0] * shape[1] * type.Size();
            var place = bytes > 0 && part is not null && _random.Next(2) == 0 ? TensorPlace.Ring : TensorPlace.Inline;
            long offset = 0;
            if (place == TensorPlace.Ring)
            {
                offset = part!.Offset + (_random.NextInt64((part.Bytes - (_wild ? 0 : bytes)) / 64) * 64);
            }
            else if (bytes > 0)
            {
                offset = (inline + 63) / 64 * 64;
                inline = (int)(offset + bytes);
            }

            writes.Add(($"t{writes.Count}", type, shape, place, offset, bytes));
        }

        var parameters = _random.Next(3) == 0 ? """{"k":[1,2,{"a":"b"}]}"""u8.ToArray() : [];
        var head = new byte[CallHead.FixedBytes + writes.Sum(write => TensorHead.Size(Encoding.UTF8.GetByteCount(write.Name), 2)) + parameters.Length];
        var writer = new CallHeadWriter(head, _wild && _random.Next(50) == 0 ? 9 : 0, writes.Count, parameters.Length, 0, (ulong)inline);
        foreach (var (name, type, shape, place, offset, bytes) in writes)
        {
            writer.Tensor(name, type, shape, place, offset, bytes);
        }

        writer.Parameters(parameters);
        return head;
    }

    /// <summary>One to four bytes, or a whole field, become something else.</summary>
    public void Damage(byte[] frame)
    {
        for (var times = _random.Next(1, 5); times > 0; times--)
        {
            frame[_random.Next(frame.Length)] = (byte)_random.Next(256);
        }

        if (frame.Length >= 12 && _random.Next(3) == 0)
        {
            var at = _random.Next(frame.Length / 4) * 4;
            BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(at), _random.Next(4) switch { 0 => 0, 1 => uint.MaxValue, 2 => 1u << _random.Next(32), _ => (uint)_random.NextInt64() });
        }
    }

    private ulong AnyCall() => (ulong)_random.NextInt64(1, (long)_call + 2);

    private byte[] Noise(int length)
    {
        var noise = new byte[length];
        _random.NextBytes(noise);
        return noise;
    }
}
