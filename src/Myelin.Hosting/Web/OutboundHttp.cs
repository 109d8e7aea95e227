using System.Net;
using System.Net.Sockets;

namespace Myelin.Hosting.Web;

/// <summary>The target of an outbound call is not of the public internet.</summary>
internal sealed class PrivateAddressException(string host)
    : HttpRequestException($"{host} leads to a loopback, private or otherwise special address, which the server does not call");

/// <summary>
/// HTTP for addresses that callers chose. The check is on the address that is connected, not on a lookup before it, so a
/// name that answers differently the second time gains nothing. No redirects, proxies or cookies.
/// </summary>
internal static class OutboundHttp
{
    public const int ConnectionsPerServer = 8;

    public static HttpMessageInvoker Create(bool allowPrivate, TimeSpan connectTimeout) => new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        AutomaticDecompression = DecompressionMethods.None,
        ConnectTimeout = connectTimeout,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
        MaxResponseHeadersLength = 64,
        MaxConnectionsPerServer = ConnectionsPerServer,

        // A trace context in a call to a stranger would tell him about us.
        ActivityHeadersPropagator = null,
        ConnectCallback = (context, token) => ConnectAsync(context.DnsEndPoint, allowPrivate, token),
    });

    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint target, bool allowPrivate, CancellationToken cancellationToken)
    {
        var addresses = await Dns.GetHostAddressesAsync(target.Host, cancellationToken);
        var allowed = Array.FindAll(addresses, a => allowPrivate || PublicAddress.IsPublic(a));
        if (allowed.Length == 0)
        {
            throw new PrivateAddressException(target.Host);
        }

        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(allowed, target.Port, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
