using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// A connected stream socket, read by one thread that waits in the kernel and written without ever waiting. The runtime's own
/// socket calls are not used after connecting: their waiting goes through a poller and the pool, two wake-ups more than
/// a thread that sleeps in <c>recv</c>.
/// </summary>
internal sealed class UdsSocket(Socket socket) : IDisposable
{
    private readonly SafeSocketHandle _handle = socket.SafeHandle;

    /// <summary>Waits for bytes.</summary>
    /// <returns>How many came; 0 when the stream has ended, whatever ended it.</returns>
    public unsafe int Receive(Span<byte> destination)
    {
        fixed (byte* buffer = destination)
        {
            while (!_handle.IsClosed)
            {
                var count = Libc.Receive(_handle, buffer, destination.Length, 0);
                if (count >= 0)
                {
                    return (int)count;
                }

                if (Marshal.GetLastPInvokeError() != Libc.Interrupted)
                {
                    return 0;
                }
            }
        }

        return 0;
    }

    /// <summary>Hands bytes to the kernel as far as it takes them now.</summary>
    /// <returns>How many it took, 0 when its buffer is full, −1 when the peer is gone.</returns>
    public unsafe int Send(ReadOnlySpan<byte> source)
    {
        fixed (byte* buffer = source)
        {
            while (true)
            {
                var count = Libc.Send(_handle, buffer, source.Length, Libc.DontWait | Libc.NoSignal);
                if (count >= 0)
                {
                    return (int)count;
                }

                switch (Marshal.GetLastPInvokeError())
                {
                    case Libc.Interrupted:
                        continue;
                    case Libc.TryAgain:
                        return 0;
                    default:
                        return -1;
                }
            }
        }
    }

    /// <summary>Waits until the kernel takes bytes again, the peer is gone, or the time is over.</summary>
    public unsafe void WaitWritable(TimeSpan timeout)
    {
        var held = false;
        try
        {
            _handle.DangerousAddRef(ref held);
            var entry = new Libc.PollEntry { File = (int)_handle.DangerousGetHandle(), Events = Libc.PollOut };
            _ = Libc.Poll(&entry, 1, (int)timeout.TotalMilliseconds);
        }
        catch (ObjectDisposedException)
        {
            // closed meanwhile: the caller's next send says so
        }
        finally
        {
            if (held)
            {
                _handle.DangerousRelease();
            }
        }
    }

    /// <summary>Ends the stream both ways: who waits in <see cref="Receive"/> gets what has come, then 0.</summary>
    public void Shutdown()
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            // ended already
        }
    }

    /// <summary>Closes; nobody may be inside a call.</summary>
    public void Dispose() => socket.Dispose();
}
