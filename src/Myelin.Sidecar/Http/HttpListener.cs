using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Http;

/// <summary>
/// The Open Inference Protocol v2 on a TCP port or a Unix socket, HTTP/1.1 and HTTP/2 without TLS alike.
/// Owner: <see cref="SidecarHost"/>.
/// </summary>
internal sealed class HttpListener(SidecarAddress address, HttpListenerOptions options) : ISidecarListener
{
    // Large messages: 4 KiB kept by an idle connection cost less than a system call more for each 4 KiB received.
    private static readonly SocketTransportOptions s_sockets = new() { WaitForDataBeforeAllocatingBuffer = false };

    private static readonly TimeSpan s_goodbye = TimeSpan.FromSeconds(2);

    private readonly SidecarApplication _application = new(options);
    private ProtocolSelector? _selector;
    private KestrelServer? _server;

    /// <summary>The address that was bound; a port of 0 has become a real one.</summary>
    public EndPoint? EndPoint { get; private set; }

    public async ValueTask StartAsync(CancellationToken cancellationToken)
    {
        var sockets = new SocketTransportFactory(Options.Create(s_sockets), NullLoggerFactory.Instance);
        var listener = await BindAsync(sockets, cancellationToken).ConfigureAwait(false);
        EndPoint = listener.EndPoint;
        if (address.Path is { } path && !OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }

        _selector = new ProtocolSelector(listener, options);

        var kestrel = new KestrelServerOptions { AddServerHeader = false };
        kestrel.Limits.MaxRequestBodySize = options.Message.MaxBytes;
        kestrel.Limits.MaxConcurrentConnections = options.MaxConnections;
        kestrel.Limits.MinResponseDataRate = new MinDataRate(240, TimeSpan.FromSeconds(30));
        kestrel.Limits.Http2.MaxStreamsPerConnection = options.MaxStreams;
        kestrel.Limits.Http2.InitialConnectionWindowSize = 16 << 20;
        kestrel.Limits.Http2.InitialStreamWindowSize = 4 << 20;
        _selector.Listen(kestrel);
        _server = new KestrelServer(Options.Create(kestrel), _selector, NullLoggerFactory.Instance);
        await _server.StartAsync(_application, cancellationToken).ConfigureAwait(false);
        _selector.Start();
    }

    public void Ready(IReadOnlyList<ServedModel> models) => _application.Ready(models);

    public async ValueTask FailAsync(string message, CancellationToken cancellationToken) =>
        await _application.FailAsync(message, cancellationToken).ConfigureAwait(false);

    public async ValueTask DrainAsync(CancellationToken cancellationToken) =>
        await _application.DrainAsync(cancellationToken).ConfigureAwait(false);

    public async ValueTask DisposeAsync()
    {
        if (_selector is not null)
        {
            await _selector.DisposeAsync().ConfigureAwait(false);
        }

        if (_server is not null)
        {
            using var goodbye = new CancellationTokenSource(s_goodbye, options.Time);
            await _server.StopAsync(goodbye.Token).ConfigureAwait(false);
            _server.Dispose();
        }

        _application.Dispose();
    }

    private async ValueTask<IConnectionListener> BindAsync(SocketTransportFactory sockets, CancellationToken cancellationToken)
    {
        try
        {
            return await sockets.BindAsync(await EndPointAsync(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is SocketException or AddressInUseException)
        {
            throw new IOException($"cannot listen on {address}: {fault.Message}", fault);
        }
    }

    private async ValueTask<EndPoint> EndPointAsync(CancellationToken cancellationToken)
    {
        if (address.Path is { } path)
        {
            await SocketPath.RemoveStaleAsync(path, cancellationToken).ConfigureAwait(false);
            return new UnixDomainSocketEndPoint(path);
        }

        if (address.Endpoint!.Scheme == Uri.UriSchemeHttps)
        {
            throw new IOException($"cannot listen on {address}: a sidecar has no certificate; listen on http:// behind what ends TLS");
        }

        var host = address.Endpoint.IdnHost.Trim('[', ']');
        if (!IPAddress.TryParse(host, out var ip))
        {
            ip = (await Dns.GetHostAddressesAsync(host, cancellationToken).ConfigureAwait(false))
                .OrderBy(candidate => candidate.AddressFamily == AddressFamily.InterNetwork ? 0 : 1).First();
        }

        return new IPEndPoint(ip, address.Endpoint.Port);
    }
}
