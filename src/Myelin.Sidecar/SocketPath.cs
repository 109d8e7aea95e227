using System.Net.Sockets;

namespace Myelin.Sidecar;

/// <summary>The file of a Unix socket before it is bound.</summary>
internal static class SocketPath
{
    /// <summary>Removes a socket that nobody answers on: a process that was killed left it.</summary>
    /// <exception cref="IOException">Somebody answers.</exception>
    public static async ValueTask RemoveStaleAsync(string path, CancellationToken cancellationToken)
    {
        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await probe.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException)
        {
            File.Delete(path);
            return;
        }

        throw new IOException($"another process listens on '{path}'");
    }
}
