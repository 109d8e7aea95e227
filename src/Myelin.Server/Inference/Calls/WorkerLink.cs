using System.Net;
using System.Net.Sockets;
using Myelin.Hosting.Configuration;
using Myelin.Serving.Registry;

namespace Myelin.Server.Inference.Calls;

/// <summary>
/// A gateway's line to one worker: HTTP/2 over its socket where both are on one machine, over its address otherwise.
/// Counts the calls on it, and remembers for a moment that nobody answered.
/// </summary>
internal sealed class WorkerLink : IDisposable
{
    private static readonly TimeSpan s_avoid = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_ping = TimeSpan.FromSeconds(10);

    private readonly HttpMessageInvoker _http;
    private readonly TimeProvider _time;
    private long _failedAt;
    private int _inFlight;

    private WorkerLink(Uri address, string? socket, CallsOptions options, TimeProvider time)
    {
        (Address, _time) = (address, time);
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            ConnectTimeout = options.ConnectTimeout,
            EnableMultipleHttp2Connections = true,
            InitialHttp2StreamWindowSize = 1 << 20,
            KeepAlivePingDelay = s_ping,
            KeepAlivePingTimeout = s_ping / 2,
        };
        if (socket is not null)
        {
            handler.ConnectCallback = (_, cancellationToken) => ConnectAsync(socket, cancellationToken);
        }

        _http = new HttpMessageInvoker(handler);
    }

    public Uri Address { get; }

    /// <summary>Calls of this gateway that the worker has now.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Nobody answered there a moment ago.</summary>
    public bool IsAvoided => Volatile.Read(ref _failedAt) is var at and not 0 && _time.GetElapsedTime(at) < s_avoid;

    /// <summary>Null where this process cannot reach the worker: it is on another machine and listens on its socket only.</summary>
    public static WorkerLink? To(WorkerRow worker, CallsOptions options, TimeProvider time)
    {
        // The file's name is of one process on one machine: where it is there, it is that worker's.
        if (worker.Socket is { } socket && File.Exists(socket))
        {
            return new WorkerLink(new Uri("http://worker"), socket, options, time);
        }

        return Uri.TryCreate(worker.Address, UriKind.Absolute, out var address) ? new WorkerLink(address, null, options, time) : null;
    }

    /// <summary>Sends a call; the answer's body is still to be read.</summary>
    public Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        request.Version = HttpVersion.Version20;
        request.VersionPolicy = HttpVersionPolicy.RequestVersionExact;
        return _http.SendAsync(request, cancellationToken);
    }

    /// <summary>Counts a call; dispose what comes when it is over.</summary>
    public Call Begin()
    {
        Interlocked.Increment(ref _inFlight);
        return new Call(this);
    }

    public void Avoid() => Volatile.Write(ref _failedAt, _time.GetTimestamp());

    public void Dispose() => _http.Dispose();

    private static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    internal readonly struct Call(WorkerLink link) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref link._inFlight);
    }
}
