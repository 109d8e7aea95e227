using System.Net.Sockets;
using Myelin.Protocol.Sidecars;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>One end of a socket that speaks the protocol as badly as a test wants.</summary>
internal sealed class WirePeer : IDisposable
{
    private readonly Socket _socket;

    public WirePeer(Socket socket)
    {
        _socket = socket;
        _socket.ReceiveTimeout = _socket.SendTimeout = 20_000;
    }

    public static WirePeer Connect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        return new WirePeer(socket);
    }

    /// <summary>A listening socket for a scripted sidecar.</summary>
    public static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen(16);
        return socket;
    }

    public static byte[] Frame(FrameType type, ulong call, ReadOnlySpan<byte> payload = default)
    {
        var frame = new byte[FrameHeader.Bytes + payload.Length];
        new FrameHeader(type, call, payload.Length).Write(frame);
        payload.CopyTo(frame.AsSpan(FrameHeader.Bytes));
        return frame;
    }

    /// <summary>Sends as much as the peer takes: it may close in the middle.</summary>
    /// <returns>False where the peer is gone.</returns>
    public bool TrySend(ReadOnlySpan<byte> bytes)
    {
        try
        {
            while (!bytes.IsEmpty)
            {
                bytes = bytes[_socket.Send(bytes)..];
            }

            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    public void Send(FrameType type, ulong call, ReadOnlySpan<byte> payload = default) => TrySend(Frame(type, call, payload));

    /// <summary>The next frame; null at the end of the stream.</summary>
    public (FrameHeader Header, byte[] Payload)? Read()
    {
        var header = new byte[FrameHeader.Bytes];
        if (!Fill(header))
        {
            return null;
        }

        var read = FrameHeader.Read(header);
        var payload = new byte[read.Length];
        return Fill(payload) ? (read, payload) : null;
    }

    /// <summary>The next frame; null at the end of the stream, or where this end is disposed or quiet for too long.</summary>
    public (FrameHeader Header, byte[] Payload)? TryRead()
    {
        try
        {
            return Read();
        }
        catch (Exception fault) when (fault is TimeoutException or ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Says that no more comes; with <paramref name="both"/> also that no more is read.</summary>
    public void End(bool both = true)
    {
        try
        {
            _socket.Shutdown(both ? SocketShutdown.Both : SocketShutdown.Send);
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            // ended already
        }
    }

    /// <summary>The next frame of this type, others skipped; null at the end of the stream.</summary>
    public (FrameHeader Header, byte[] Payload)? ReadUntil(FrameType type, ulong? call = null)
    {
        while (Read() is { } frame)
        {
            if (frame.Header.Type == type && (call is null || frame.Header.Call == call))
            {
                return frame;
            }
        }

        return null;
    }

    /// <summary>Reads to the end of the stream; false where it does not come in time.</summary>
    public bool ReachesEnd() => ReachesEnd(0, out _);

    /// <summary>The same after a batch of a <see cref="FrameFuzzer"/>.</summary>
    /// <param name="batch">Frames of the batch.</param>
    /// <param name="reached">How many of them the peer took before it closed, or a few more.</param>
    public bool ReachesEnd(int batch, out int reached)
    {
        reached = 0;
        try
        {
            while (Read() is { } frame)
            {
                if (frame.Header.Type == FrameType.Pong && BitConverter.ToInt64(frame.Payload) is var at && at >= reached && at < batch)
                {
                    reached = (int)at + 1;
                }
            }

            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    public void Dispose() => _socket.Dispose();

    private bool Fill(Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int count;
            try
            {
                count = _socket.Receive(buffer);
            }
            catch (SocketException fault) when (fault.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
            {
                throw new TimeoutException("the peer sent nothing", fault);
            }
            catch (SocketException)
            {
                return false; // reset: closed with bytes of ours unread
            }

            if (count == 0)
            {
                return false;
            }

            buffer = buffer[count..];
        }

        return true;
    }
}
