using System.Net.Sockets;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Uds;

/// <summary>
/// Serves the sidecar protocol on a socket: a <see cref="UdsSession"/> per worker that connects, each with its own ring. Owner: the
/// host. Workers are greeted at once and told to wait until the models are ready.
/// </summary>
internal sealed class UdsListener(string path, UdsListenerOptions options) : ISidecarListener
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly HashSet<UdsSession> _sessions = [];
    private readonly CancellationTokenSource _end = new();
    private volatile Socket? _listening;
    private Task _accepting = Task.CompletedTask;
    private IReadOnlyList<ServedModel>? _models;
    private bool _draining;

    /// <summary>Workers that are connected, for tests.</summary>
    public IReadOnlyList<UdsSession> Sessions
    {
        get
        {
            lock (_lock)
            {
                return [.. _sessions];
            }
        }
    }

    public async ValueTask StartAsync(CancellationToken cancellationToken)
    {
        await SocketPath.RemoveStaleAsync(path, cancellationToken).ConfigureAwait(false);
        _listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            _listening.Bind(new UnixDomainSocketEndPoint(path));
            if (!OperatingSystem.IsLinux())
            {
                throw new PlatformNotSupportedException("unix: needs Linux; listen on http:// instead");
            }

            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            _listening.Listen(options.MaxConnections);
        }
        catch (SocketException fault)
        {
            throw new IOException($"could not listen on '{path}': {fault.Message}", fault);
        }

        _accepting = AcceptAsync(_listening, _end.Token);
    }

    public void Ready(IReadOnlyList<ServedModel> models)
    {
        lock (_lock)
        {
            _models = models;
        }

        foreach (var session in Sessions)
        {
            session.BecomeReady(models);
        }
    }

    public async ValueTask FailAsync(string message, CancellationToken cancellationToken)
    {
        StopListening();
        foreach (var session in Sessions)
        {
            await session.FailAsync(new SidecarError(SidecarErrors.LoadFailed, message)).ConfigureAwait(false);
        }
    }

    public async ValueTask DrainAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            _draining = true;
        }

        StopListening();
        await Task.WhenAll(Sessions.Select(session => session.DrainAsync(cancellationToken))).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        StopListening();
        await _end.CancelAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        await Task.WhenAll(Sessions.Select(session => session.CloseAsync())).ConfigureAwait(false);
        _end.Dispose();
    }

    private async Task AcceptAsync(Socket listening, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                Admit(await listening.AcceptAsync(cancellationToken).ConfigureAwait(false));
            }
            catch (Exception)
            {
                if (_listening != listening)
                {
                    return; // stopped listening
                }

                // No handle is left (a thread takes some too), or the peer went while it waited. Who waits is accepted once there is one.
                await Task.Delay(s_pause, options.Time, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private void Admit(Socket socket)
    {
        lock (_lock)
        {
            if (_draining || _sessions.Count >= options.MaxConnections)
            {
                socket.Dispose();
                return;
            }

            var session = new UdsSession(socket, options, Ended);
            try
            {
                session.Start(_models);
                _sessions.Add(session);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
    }

    private void Ended(UdsSession session)
    {
        lock (_lock)
        {
            _sessions.Remove(session);
        }
    }

    private void StopListening()
    {
        if (Interlocked.Exchange(ref _listening, null) is { } listening)
        {
            listening.Dispose();
            File.Delete(path);
        }
    }
}

/// <summary>Limits of a sidecar's socket.</summary>
internal sealed record UdsListenerOptions
{
    /// <summary>Workers at the same time; further ones are turned away.</summary>
    public int MaxConnections { get; init; } = 64;

    /// <summary>Open calls of one worker.</summary>
    public int MaxCalls { get; init; } = 256;

    public long MaxCallBytes { get; init; } = SidecarLimits.CallBytes;

    /// <summary>Outputs smaller than this travel inline.</summary>
    public int InlineBelow { get; init; } = 16 * 1024;

    /// <summary>How long an answer waits for a free place in the ring before it goes inline.</summary>
    public TimeSpan RingPatience { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>How long a worker that was told to leave may stay connected after its last answer.</summary>
    public TimeSpan LeavePatience { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Frames that a slow worker has not read; beyond this, progress is dropped.</summary>
    public int MaxProgressBytes { get; init; } = 1 << 20;

    /// <summary>Deadlines and waits go by it.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
