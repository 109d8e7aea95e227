using System.Net;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Myelin.Sidecar.Http;

/// <summary>
/// HTTP/1.1 and HTTP/2 without TLS on one address. Kestrel takes every unencrypted connection of a mixed endpoint for
/// HTTP/1.1, so this stands between the socket and two Kestrel endpoints: it accepts, looks at the first bytes without
/// taking them (HTTP/2 opens with "PRI * HTTP/2.0", which no HTTP/1.1 request begins with) and hands the connection on.
/// Costs a look per connection and nothing per request. Connections that have not said a word are bounded in number and time.
/// </summary>
internal sealed class ProtocolSelector(IConnectionListener socket, HttpListenerOptions options) : IConnectionListenerFactory, IAsyncDisposable
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    private readonly ProtocolListener _http1 = new(HttpProtocols.Http1);
    private readonly ProtocolListener _http2 = new(HttpProtocols.Http2);
    private readonly CancellationTokenSource _end = new();
    private Task _accepting = Task.CompletedTask;
    private int _silent;

    /// <summary>Adds the two endpoints to the server that was made with this factory.</summary>
    public void Listen(KestrelServerOptions options)
    {
        foreach (var listener in (ProtocolListener[])[_http1, _http2])
        {
            options.Listen(listener.EndPoint, endpoint => endpoint.Protocols = listener.Protocol);
        }
    }

    public void Start() => _accepting = AcceptAsync();

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult<IConnectionListener>(endpoint == _http1.EndPoint ? _http1 : _http2);

    /// <summary>Takes no further connections; those there are live on.</summary>
    public async ValueTask DisposeAsync()
    {
        await socket.UnbindAsync().ConfigureAwait(false);
        await _end.CancelAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        await _http1.DisposeAsync().ConfigureAwait(false);
        await _http2.DisposeAsync().ConfigureAwait(false);
        await socket.DisposeAsync().ConfigureAwait(false);
        _end.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            try
            {
                if (await socket.AcceptAsync(CancellationToken.None).ConfigureAwait(false) is not { } connection)
                {
                    return;
                }

                _ = HandOnAsync(connection);
            }
            catch (Exception) when (!_end.IsCancellationRequested)
            {
                await Task.Delay(s_pause, options.Time, CancellationToken.None).ConfigureAwait(false); // no handle is left for it; there will be
            }
        }
    }

    private async Task HandOnAsync(ConnectionContext connection)
    {
        using var late = new CancellationTokenSource(options.FirstByte, options.Time);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _end.Token);
        try
        {
            if (Interlocked.Increment(ref _silent) > options.MaxConnections)
            {
                throw new IOException("too many connections wait for their first byte");
            }

            var input = connection.Transport.Input;
            var seen = await input.ReadAtLeastAsync(3, patience.Token).ConfigureAwait(false);
            var listener = IsHttp2(seen.Buffer) ? _http2 : _http1;
            input.AdvanceTo(seen.Buffer.Start);
            await listener.HandOnAsync(connection, patience.Token).ConfigureAwait(false);
        }
        catch (Exception) // the peer's fault or the end; nobody waits for this connection
        {
            await connection.DisposeAsync().ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _silent);
        }
    }

    private static bool IsHttp2(System.Buffers.ReadOnlySequence<byte> seen)
    {
        var reader = new System.Buffers.SequenceReader<byte>(seen);
        return reader.IsNext("PRI"u8);
    }

    /// <summary>One of Kestrel's two endpoints: it gets the connections of its protocol.</summary>
    private sealed class ProtocolListener(HttpProtocols protocol) : IConnectionListener
    {
        private readonly Channel<ConnectionContext> _connections = Channel.CreateBounded<ConnectionContext>(128);

        public HttpProtocols Protocol { get; } = protocol;

        public EndPoint EndPoint { get; } = new ProtocolEndPoint(protocol);

        public ValueTask HandOnAsync(ConnectionContext connection, CancellationToken cancellationToken) =>
            _connections.Writer.WriteAsync(connection, cancellationToken);

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            try
            {
                return await _connections.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (ChannelClosedException)
            {
                return null;
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            _connections.Writer.TryComplete();
            return ValueTask.CompletedTask;
        }

        public async ValueTask DisposeAsync()
        {
            _connections.Writer.TryComplete();
            while (_connections.Reader.TryRead(out var connection))
            {
                await connection.DisposeAsync().ConfigureAwait(false); // came while nobody took it any more
            }
        }
    }

    private sealed class ProtocolEndPoint(HttpProtocols protocol) : EndPoint
    {
        public override string ToString() => protocol.ToString();
    }
}
