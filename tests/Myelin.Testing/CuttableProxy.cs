using System.Net;
using System.Net.Sockets;

namespace Myelin.Testing;

/// <summary>
/// A TCP connection to a server that a test can harm: answers that never arrive, silence, a cut. What was harmed stays
/// so; new connections are sound.
/// </summary>
public sealed class CuttableProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly IPEndPoint _server;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly List<Pair> _pairs = [];
    private readonly Task _accepting;
    private volatile bool _isCut;

    public CuttableProxy(int port)
    {
        _server = new IPEndPoint(IPAddress.Loopback, port);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Connections whose answer was swallowed.</summary>
    public int Swallowed { get; private set; }

    /// <summary>Each connection of now is cut when the next answer comes: the request was carried out, nobody hears of it.</summary>
    public void SwallowNextAnswers() => Harm(Mode.Swallow);

    /// <summary>Nothing passes on the connections of now, and nothing says so.</summary>
    public void FallSilent() => Harm(Mode.Silent);

    /// <summary>A network cut: nothing passes and nothing says so, on the connections of now and on new ones, until <see cref="Heal"/>.</summary>
    public void CutNetwork()
    {
        _isCut = true;
        FallSilent();
    }

    /// <summary>New connections pass again; those of before stay dead.</summary>
    public void Heal()
    {
        _isCut = false;
        FallSilent();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        lock (_gate)
        {
            _pairs.ForEach(p => p.Cut());
        }

        await _accepting;
        _stop.Dispose();
    }

    private void Harm(Mode mode)
    {
        lock (_gate)
        {
            _pairs.ForEach(p => p.Mode = mode);
            _pairs.Clear();
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var pair = new Pair(await _listener.AcceptTcpClientAsync(_stop.Token), new TcpClient()) { Mode = _isCut ? Mode.Silent : Mode.Sound };
                await pair.Server.ConnectAsync(_server, _stop.Token);
                lock (_gate)
                {
                    _pairs.Add(pair);
                }

                _ = PassAsync(pair, pair.Client, pair.Server, answers: false);
                _ = PassAsync(pair, pair.Server, pair.Client, answers: true);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private async Task PassAsync(Pair pair, TcpClient from, TcpClient to, bool answers)
    {
        var buffer = new byte[1 << 16];
        try
        {
            while (await from.GetStream().ReadAsync(buffer, _stop.Token) is > 0 and var count)
            {
                if (pair.Mode == Mode.Silent)
                {
                    continue;
                }

                if (pair.Mode == Mode.Swallow && answers)
                {
                    Swallowed++;
                    break;
                }

                await to.GetStream().WriteAsync(buffer.AsMemory(0, count), _stop.Token);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // One side is gone: so is the other.
        }

        if (pair.Mode != Mode.Silent)
        {
            pair.Cut();
        }
    }

    private enum Mode
    {
        Sound,
        Swallow,
        Silent,
    }

    private sealed class Pair(TcpClient client, TcpClient server)
    {
        private volatile Mode _mode;

        public TcpClient Client => client;

        public TcpClient Server => server;

        public Mode Mode
        {
            get => _mode;
            set => _mode = value;
        }

        public void Cut()
        {
            client.Dispose();
            server.Dispose();
        }
    }
}
