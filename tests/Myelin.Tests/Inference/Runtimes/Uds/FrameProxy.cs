using System.Net.Sockets;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>Stands between a worker and a sidecar, passes whole frames on, and does something after the one it was told.</summary>
internal sealed class FrameProxy : IAsyncDisposable
{
    private readonly Socket _listening;
    private readonly string _sidecar;
    private readonly int _frame;
    private readonly Action _then;
    private readonly Task _running;
    private int _passed;

    /// <param name="path">Where the worker connects.</param>
    /// <param name="sidecar">Where the sidecar listens.</param>
    /// <param name="frame">After so many frames, both directions counted.</param>
    /// <param name="then">Is done once, before any further frame is passed on.</param>
    public FrameProxy(string path, string sidecar, int frame, Action then)
    {
        (_listening, _sidecar, _frame, _then) = (WirePeer.Listen(path), sidecar, frame, then);
        _running = Task.Run(RunAsync);
    }

    /// <summary>Frames that came through so far.</summary>
    public int Passed => Volatile.Read(ref _passed);

    public async ValueTask DisposeAsync()
    {
        _listening.Dispose();
        await _running;
    }

    private async Task RunAsync()
    {
        Socket accepted;
        try
        {
            accepted = await _listening.AcceptAsync();
        }
        catch (SocketException)
        {
            return; // nobody came
        }

        using var worker = new WirePeer(accepted);
        if (_frame == 0)
        {
            _then();
        }

        using var sidecar = TryConnect();
        if (sidecar is null)
        {
            return;
        }

        await Task.WhenAll(
            Task.Factory.StartNew(() => Pass(worker, sidecar), TaskCreationOptions.LongRunning),
            Task.Factory.StartNew(() => Pass(sidecar, worker), TaskCreationOptions.LongRunning));
    }

    private WirePeer? TryConnect()
    {
        for (var attempt = 0; attempt < 500; attempt++)
        {
            try
            {
                return WirePeer.Connect(_sidecar);
            }
            catch (SocketException)
            {
                if (_frame == 0)
                {
                    return null; // it was killed before it listened
                }

                Thread.Sleep(10);
            }
        }

        return null;
    }

    private void Pass(WirePeer from, WirePeer to)
    {
        while (from.TryRead() is { } frame)
        {
            if (!to.TrySend(WirePeer.Frame(frame.Header.Type, frame.Header.Call, frame.Payload)))
            {
                break;
            }

            lock (_listening)
            {
                if (Interlocked.Increment(ref _passed) == _frame)
                {
                    _then();
                }
            }
        }

        to.End(); // what one side closes ends for the other
    }
}
