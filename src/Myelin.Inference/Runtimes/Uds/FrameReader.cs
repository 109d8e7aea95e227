using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Gets the frames of a connection, on the thread that reads it; must not wait for anything.</summary>
internal interface IFrameSink
{
    /// <summary>Any frame but DATA, whole.</summary>
    /// <exception cref="BadFrameException">It may not come now, or breaks a rule.</exception>
    void OnFrame(FrameHeader header, ReadOnlySpan<byte> payload);

    /// <summary>Where the bytes of a DATA frame go; nothing: they are skipped.</summary>
    /// <exception cref="BadFrameException">It may not come now, or is too long.</exception>
    Span<byte> OnData(FrameHeader header);

    /// <summary>The bytes of a DATA frame that was not skipped are there.</summary>
    void OnDataRead(FrameHeader header);
}

/// <summary>Takes frames apart: the stream's bytes go through one buffer, large DATA straight to its place.</summary>
internal sealed class FrameReader(UdsSocket socket)
{
    /// <summary>Holds the largest head; a larger frame (READY) makes it grow once.</summary>
    private const int BufferBytes = 128 * 1024;

    /// <summary>DATA with more left than this is read without a copy.</summary>
    private const int DirectBytes = 16 * 1024;

    private byte[] _buffer = GC.AllocateUninitializedArray<byte>(BufferBytes, pinned: true);
    private int _start;
    private int _end;

    /// <summary>Reads until the stream ends.</summary>
    /// <exception cref="BadFrameException">The peer broke the protocol.</exception>
    public void Run(IFrameSink sink)
    {
        while (Fill(FrameHeader.Bytes))
        {
            var header = FrameHeader.Read(_buffer.AsSpan(_start));
            _start += FrameHeader.Bytes;
            if (header.Type == FrameType.Data)
            {
                var destination = sink.OnData(header);
                if (!(destination.IsEmpty ? Skip(header.Length) : ReadInto(destination)))
                {
                    return;
                }

                if (!destination.IsEmpty)
                {
                    sink.OnDataRead(header);
                }
            }
            else if (header.Type >= FrameType.Extension)
            {
                if (!Skip(header.Length))
                {
                    return;
                }
            }
            else
            {
                if (!Fill(header.Length))
                {
                    return;
                }

                var payload = _buffer.AsSpan(_start, header.Length);
                _start += header.Length;
                sink.OnFrame(header, payload);
            }
        }
    }

    /// <summary>Makes so many bytes of the buffer be there.</summary>
    private bool Fill(int bytes)
    {
        while (_end - _start < bytes)
        {
            if (_start == _end)
            {
                _start = _end = 0;
            }

            if (_start + bytes > _buffer.Length)
            {
                var target = bytes > _buffer.Length ? GC.AllocateUninitializedArray<byte>(bytes + BufferBytes, pinned: true) : _buffer;
                _buffer.AsSpan(_start, _end - _start).CopyTo(target);
                (_buffer, _start, _end) = (target, 0, _end - _start);
            }

            if (socket.Receive(_buffer.AsSpan(_end)) is var count and > 0)
            {
                _end += count;
            }
            else
            {
                return false;
            }
        }

        return true;
    }

    private bool ReadInto(Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            var there = Math.Min(_end - _start, destination.Length);
            if (there > 0)
            {
                _buffer.AsSpan(_start, there).CopyTo(destination);
                _start += there;
                destination = destination[there..];
            }
            else if (destination.Length > DirectBytes)
            {
                if (socket.Receive(destination) is var count and > 0)
                {
                    destination = destination[count..];
                }
                else
                {
                    return false;
                }
            }
            else if (!Fill(1))
            {
                return false;
            }
        }

        return true;
    }

    private bool Skip(int bytes)
    {
        while (bytes > 0)
        {
            if (_start == _end && !Fill(1))
            {
                return false;
            }

            var there = Math.Min(_end - _start, bytes);
            _start += there;
            bytes -= there;
        }

        return true;
    }
}
