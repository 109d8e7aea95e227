using System.Net.Sockets;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Connects to a socket that may not be there yet: a sidecar that was just started binds it in a moment.</summary>
internal static class UdsDialer
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);

    public static async Task<Socket> DialAsync(UdsOptions options, TimeProvider time, CancellationToken cancellationToken)
    {
        var start = time.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Socket? socket = null;
            try
            {
                socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

                // Not ConnectAsync: it would leave the socket in the poller's hands. This waits only while the sidecar's queue is full.
                await Task.Run(() => socket.Connect(new UnixDomainSocketEndPoint(options.SocketPath)), cancellationToken).ConfigureAwait(false);
                return socket;
            }
            catch (Exception fault)
            {
                socket?.Dispose();
                if (fault is not SocketException refused)
                {
                    throw;
                }

                if (time.GetElapsedTime(start) > options.ConnectTimeout)
                {
                    throw new RuntimeException($"no sidecar listens on '{options.SocketPath}': {refused.Message}", retryable: true, refused) { Code = SidecarErrors.ConnectionLost };
                }
            }

            await Task.Delay(s_pause, time, cancellationToken).ConfigureAwait(false);
        }
    }
}

/// <summary>What both sides call themselves in HELLO.</summary>
internal static class UdsProduct
{
    public static string Name { get; } = $"myelin/{typeof(UdsProduct).Assembly.GetName().Version?.ToString(3) ?? "0"}";
}
