using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// Writes the frames of one connection, in the order in which they are given. Whoever has something to send and finds
/// nobody sending does it, for all: several callers share one system call. Nobody waits in the kernel but a thread of
/// its own, which takes over when the peer reads more slowly than this side writes. Small frames go before the next
/// piece of a large message, and large messages take turns.
/// </summary>
/// <param name="socket">Closed by its owner after <see cref="Close"/>.</param>
/// <param name="most">Bytes of small frames that may wait; more of them mean that the peer does not read.</param>
internal sealed class FrameWriter(UdsSocket socket, int most)
{
    /// <summary>Bytes of one DATA frame: large enough that its header does not count, small enough that a ping need not wait.</summary>
    private const int Chunk = 256 * 1024;

    /// <summary>What a caller sends for others before the thread takes over.</summary>
    private const int CallersShare = 1024 * 1024;

    /// <summary>For a peer that still reads; one that does not must not hold up the end.</summary>
    private static readonly TimeSpan s_lastPatience = TimeSpan.FromMilliseconds(200);

    private static readonly byte[] s_zeros = new byte[Chunk];

    private readonly object _gate = new();
    private readonly Queue<OutgoingMessage> _messages = new();
    private byte[] _waiting = new byte[4096];
    private int _waitingBytes;
    private byte[] _leaving = new byte[4096];
    private readonly byte[] _chunkHeader = new byte[FrameHeader.Bytes + SidecarLimits.Alignment];
    private ReadOnlyMemory<byte> _now; // being sent
    private ReadOnlyMemory<byte> _next; // the chunk whose header is being sent
    private OutgoingMessage? _message; // whose memory _now or _next is
    private bool _sending;
    private bool _inKernel;
    private bool _handedOver;
    private bool _closed;
    private Thread? _thread;
    private TaskCompletionSource? _emptied;

    /// <summary>Bytes of small frames that wait for the peer.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _waitingBytes;
            }
        }
    }

    /// <summary>Adds a frame; it leaves with the next <see cref="Flush"/>, whoever calls it.</summary>
    /// <returns>False where the connection is closed or the peer does not read.</returns>
    public bool Add(FrameType type, ulong call, ReadOnlySpan<byte> payload = default)
    {
        lock (_gate)
        {
            if (!TryReserve(FrameHeader.Bytes + payload.Length, out var frame))
            {
                return false;
            }

            new FrameHeader(type, call, payload.Length).Write(frame);
            payload.CopyTo(frame[FrameHeader.Bytes..]);
            return true;
        }
    }

    /// <summary>Adds a message. Its tensors' memory is read until <see cref="OutgoingMessage.Sent"/> or <see cref="Abandon"/>.</summary>
    /// <returns>False as above.</returns>
    public bool Add(OutgoingMessage message)
    {
        var copied = message.Inline is > 0 and < OutgoingMessage.CopyBelow ? FrameHeader.Bytes + (int)message.Inline : 0;
        lock (_gate)
        {
            if (!TryReserve(FrameHeader.Bytes + message.HeadBytes + copied, out var frames))
            {
                return false;
            }

            new FrameHeader(message.Type, message.Call, message.HeadBytes).Write(frames);
            message.Write(frames[FrameHeader.Bytes..]);
            if (copied > 0)
            {
                frames = frames[(FrameHeader.Bytes + message.HeadBytes)..];
                new FrameHeader(FrameType.Data, message.Call, (int)message.Inline).Write(frames);
                message.WriteInline(frames[FrameHeader.Bytes..]);
            }
            else if (message.Inline > 0)
            {
                message.IsSending = true;
                _messages.Enqueue(message);
                return true;
            }
        }

        message.Sent?.Invoke();
        return true;
    }

    /// <summary>
    /// Adds the frame after which the connection is closed, and waits a moment until it has left: another thread may be
    /// sending, and closing would cut it off.
    /// </summary>
    public void SayLast(FrameType type, ulong call, ReadOnlySpan<byte> payload)
    {
        if (Add(type, call, payload))
        {
            Flush();
            EmptyAsync().Wait(s_lastPatience);
        }
    }

    /// <summary>Sends what waits, as far as the peer takes it now; the rest leaves by itself.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            if (_sending || _closed || !HasMore)
            {
                return; // who is sending will see it
            }

            _sending = true;
        }

        var share = CallersShare;
        while (Step(out var sent))
        {
            share -= sent;
            if (sent == 0 || share <= 0)
            {
                HandOver();
                return;
            }
        }
    }

    /// <summary>No more of this message's memory is read once this returns. A frame that has begun is filled with zeros.</summary>
    public void Abandon(OutgoingMessage message)
    {
        lock (_gate)
        {
            if (!message.IsSending)
            {
                return;
            }

            message.IsSending = false;
            while (_inKernel && _message == message)
            {
                Monitor.Wait(_gate);
            }

            if (_message == message)
            {
                // Where a chunk is still to come, _now is its header and stays; otherwise _now is the chunk.
                _now = _next.IsEmpty ? s_zeros.AsMemory(0, _now.Length) : _now;
                _next = s_zeros.AsMemory(0, _next.Length);
                _message = null;
            }
        }
    }

    /// <summary>Ends when all that was added has been handed to the kernel, or the connection has been closed.</summary>
    public Task EmptyAsync()
    {
        lock (_gate)
        {
            if (_closed || (!_sending && !HasMore))
            {
                return Task.CompletedTask;
            }

            _emptied ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _emptied.Task;
        }
    }

    /// <summary>Drops what waits. No memory of any message is read once this returns.</summary>
    public void Close()
    {
        List<OutgoingMessage> dropped;
        lock (_gate)
        {
            _closed = true;
            while (_inKernel)
            {
                Monitor.Wait(_gate);
            }

            dropped = [.. _messages.Where(message => message.IsSending)];
            if (_message is { IsSending: true } current && !dropped.Contains(current))
            {
                dropped.Add(current);
            }

            dropped.ForEach(message => message.IsSending = false);
            _messages.Clear();
            _message = null;
            _waitingBytes = 0;
            _now = _next = default;
            _emptied?.TrySetResult();
            Monitor.PulseAll(_gate);
        }

        dropped.ForEach(message => message.Sent?.Invoke());
    }

    private bool HasMore => _waitingBytes > 0 || _messages.Count > 0 || !_now.IsEmpty || !_next.IsEmpty;

    /// <summary>Sends one piece.</summary>
    /// <returns>False where nothing is left or the connection has ended; the sender is then nobody.</returns>
    private bool Step(out int sent)
    {
        ReadOnlyMemory<byte> piece;
        sent = 0;
        lock (_gate)
        {
            if (_closed || !Choose())
            {
                _sending = false;
                _emptied?.TrySetResult();
                _emptied = null;
                return false;
            }

            piece = _now;
            _inKernel = true;
        }

        int count;
        try
        {
            count = socket.Send(piece.Span);
        }
        catch (ObjectDisposedException)
        {
            count = -1; // somebody disposed a tensor that he had lent: what was announced cannot be sent any more
        }

        OutgoingMessage? done = null;
        lock (_gate)
        {
            _inKernel = false;
            if (count > 0)
            {
                sent = count;
                _now = _now[count..];
                done = Turn();
            }

            Monitor.PulseAll(_gate);
        }

        done?.Sent?.Invoke();
        if (count < 0)
        {
            socket.Shutdown(); // the reader sees the end and closes everything
            Close();
        }

        return true;
    }

    /// <summary>Under the lock: makes <c>_now</c> what is to be sent next.</summary>
    private bool Choose()
    {
        if (!_now.IsEmpty)
        {
            return true;
        }

        if (!_next.IsEmpty)
        {
            (_now, _next) = (_next, default);
            return true;
        }

        if (_waitingBytes > 0)
        {
            (_waiting, _leaving) = (_leaving, _waiting);
            _now = _leaving.AsMemory(0, _waitingBytes);
            _waitingBytes = 0;
            return true;
        }

        while (_messages.TryDequeue(out var message))
        {
            if (!message.IsSending)
            {
                continue; // abandoned
            }

            _next = message.Next(Chunk, out var gap);
            _message = message;
            new FrameHeader(FrameType.Data, message.Call, gap + _next.Length).Write(_chunkHeader);
            _now = _chunkHeader.AsMemory(0, FrameHeader.Bytes + gap);
            return true;
        }

        return false;
    }

    /// <summary>Under the lock, after a piece: the message whose chunk has ended goes to the end of the line.</summary>
    /// <returns>The message that has ended with it, if one has.</returns>
    private OutgoingMessage? Turn()
    {
        if (_message is not { } message || !_now.IsEmpty || !_next.IsEmpty)
        {
            return null;
        }

        _message = null;
        if (!message.IsGiven)
        {
            _messages.Enqueue(message);
            return null;
        }

        message.IsSending = false;
        return message;
    }

    private bool TryReserve(int bytes, out Span<byte> frame)
    {
        frame = default;
        if (_closed || _waitingBytes > most - bytes)
        {
            return false;
        }

        if (_waiting.Length - _waitingBytes < bytes)
        {
            Array.Resize(ref _waiting, Math.Max(2 * _waiting.Length, _waitingBytes + bytes));
        }

        frame = _waiting.AsSpan(_waitingBytes, bytes);
        _waitingBytes += bytes;
        return true;
    }

    private void HandOver()
    {
        lock (_gate)
        {
            _handedOver = true;
            if (_thread is null)
            {
                _thread = new Thread(SendRest) { IsBackground = true, Name = "uds writer" };
                _thread.Start();
            }

            Monitor.PulseAll(_gate);
        }
    }

    private void SendRest()
    {
        while (true)
        {
            lock (_gate)
            {
                while (!_handedOver && !_closed)
                {
                    Monitor.Wait(_gate);
                }

                if (_closed)
                {
                    return;
                }

                _handedOver = false;
            }

            while (Step(out var sent))
            {
                if (sent == 0)
                {
                    socket.WaitWritable(TimeSpan.FromSeconds(1));
                }
            }
        }
    }
}
