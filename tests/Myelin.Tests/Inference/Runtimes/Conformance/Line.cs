using System.Net;
using System.Net.Sockets;
using Myelin.Protocol.Sidecars;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>
/// The line between a worker and a sidecar, whatever socket that is: passes bytes on, and can be slow, break them into
/// crumbs, be cut after any byte, or note what the worker says. Byte by byte it knows nothing of protocols.
/// </summary>
public sealed class Line : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly EndPoint _sidecar;
    private readonly Socket _listening;
    private readonly List<Socket> _sockets = [];
    private readonly List<Task> _pumps = [];
    private readonly MemoryStream _said = new();
    private readonly Task _accepting;
    private readonly Random _random = new(7);
    private long _passed;

    /// <param name="address">Of the sidecar.</param>
    /// <param name="path">For a socket of its own, where the sidecar listens on one.</param>
    public Line(string address, string path)
    {
        _sidecar = EndPointOf(Parse(address));
        _listening = Open(_sidecar);
        _listening.Bind(_sidecar is IPEndPoint ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(path));
        _listening.Listen(64);
        Address = _listening.LocalEndPoint is IPEndPoint here ? $"http://{here}" : (Parse(address) with { Path = path }).ToString();
        _accepting = AcceptAsync();
    }

    /// <summary>Where the worker connects.</summary>
    public string Address { get; }

    /// <summary>Bytes after which all connections of that moment are cut, both directions counted; later ones are sound.</summary>
    public long CutAfter { get; init; } = long.MaxValue;

    /// <summary>Most bytes of one piece: 0 for all that is there.</summary>
    public int Crumb { get; init; }

    /// <summary>Waits after so many pieces, each direction for itself; 0 for never.</summary>
    public int RestAfter { get; init; }

    public bool IsCut { get; private set; }

    public long Passed => Volatile.Read(ref _passed);

    /// <summary>What the worker has said on all its connections.</summary>
    public byte[] Said
    {
        get
        {
            lock (_lock)
            {
                return _said.ToArray();
            }
        }
    }

    /// <summary>A connection to whoever listens at an address.</summary>
    public static async Task<Socket> ConnectAsync(string address)
    {
        var endPoint = EndPointOf(Parse(address));
        var socket = Open(endPoint);
        await socket.ConnectAsync(endPoint);
        return socket;
    }

    public async ValueTask DisposeAsync()
    {
        _listening.Dispose();
        await _accepting;
        Cut();
        await Task.WhenAll(_pumps);
    }

    private static SidecarAddress Parse(string address) => SidecarAddress.TryParse(address, out var parsed) ? parsed : throw new ArgumentException(address);

    private static EndPoint EndPointOf(SidecarAddress address) =>
        address.Path is { } path ? new UnixDomainSocketEndPoint(path) : new IPEndPoint(IPAddress.Parse(address.Endpoint!.Host), address.Endpoint.Port);

    private static Socket Open(EndPoint endPoint) => endPoint is IPEndPoint
        ? new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true }
        : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket? worker = null;
            var sidecar = Open(_sidecar);
            try
            {
                worker = await _listening.AcceptAsync();
                await sidecar.ConnectAsync(_sidecar);
            }
            catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
            {
                worker?.Dispose();
                sidecar.Dispose();
                return; // disposed, or the sidecar is gone
            }

            lock (_lock)
            {
                _sockets.AddRange([worker, sidecar]);
                _pumps.AddRange([PassAsync(worker, sidecar, _said), PassAsync(sidecar, worker, null)]);
            }
        }
    }

    private async Task PassAsync(Socket from, Socket to, MemoryStream? note)
    {
        await Task.Yield();
        var buffer = new byte[Crumb > 0 ? Crumb : 65_536];
        try
        {
            for (var pieces = 1; ; pieces++)
            {
                var count = await from.ReceiveAsync(buffer.AsMemory(0, Piece()));
                if (count == 0)
                {
                    to.Shutdown(SocketShutdown.Send);
                    return;
                }

                var before = Interlocked.Add(ref _passed, count) - count;
                var cut = !IsCut && before + count >= CutAfter;
                var piece = buffer.AsMemory(0, cut ? (int)Math.Max(0, CutAfter - before) : count);
                lock (_lock)
                {
                    note?.Write(piece.Span);
                }

                while (!piece.IsEmpty)
                {
                    piece = piece[await to.SendAsync(piece)..];
                }

                if (cut)
                {
                    Cut();
                    return;
                }

                if (RestAfter > 0 && pieces % RestAfter == 0)
                {
                    await Task.Delay(1);
                }
            }
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            from.Dispose(); // one side is gone: so is the other
            to.Dispose();
        }
    }

    private int Piece()
    {
        lock (_lock)
        {
            return Crumb > 0 ? _random.Next(1, Crumb + 1) : 65_536;
        }
    }

    private void Cut()
    {
        lock (_lock)
        {
            IsCut = true;
            _sockets.ForEach(socket => socket.Dispose());
            _sockets.Clear();
        }
    }
}
