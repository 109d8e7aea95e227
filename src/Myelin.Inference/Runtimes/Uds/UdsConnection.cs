using System.Net.Sockets;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// A worker's connection to one sidecar, shared by the runtimes of all its models. Safe for concurrent use.
/// Threads: callers write their own frames; one thread reads (<see cref="WorkerFrames"/>); a timer pings, tells callers
/// whose patience is over, and sends back places whose turn did not come with another frame. Owner: who connected.
/// </summary>
public sealed class UdsConnection : IAsyncDisposable
{
    /// <summary>Places that are owed back wait for the next frame, but not more than this share of the sidecar's part.</summary>
    private const int OwedShare = 8;

    private static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly UdsOptions _options;
    private readonly TimeProvider _time;
    private readonly UdsSocket _socket;
    private readonly FrameWriter _writer;
    private readonly SharedRing? _offered;
    private readonly Dictionary<ulong, UdsCall> _calls = [];
    private readonly TaskCompletionSource<UdsLoss> _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _greeted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _reader;
    private SemaphoreSlim _permits = new(0);
    private ITimer? _timer;
    private UdsLoss? _loss;
    private ulong _last;
    private long _owed;
    private long _pinged;
    private bool _pongDue;
    private bool _draining;
    private long _maxCallBytes;

    private UdsConnection(UdsOptions options, TimeProvider time, Socket socket, SharedRing? ring, ulong firstCall)
    {
        (_options, _time, _offered, _last) = (options, time, ring, firstCall - 1);
        _socket = new UdsSocket(socket);
        // Every open call may wait here with its head and the inline bytes that are copied with it.
        _writer = new FrameWriter(_socket, (options.MaxCalls * (SidecarLimits.Head + OutgoingMessage.CopyBelow + (2 * FrameHeader.Bytes))) + SidecarLimits.Payload);
        _reader = new Thread(Read) { IsBackground = true, Name = "uds reader" };
    }

    /// <summary>Completes with the reason when the connection has ended; never faults.</summary>
    public Task<UdsLoss> Lost => _lost.Task;

    /// <summary>What the sidecar serves.</summary>
    public IReadOnlyList<ReadyModel> Models { get; private set; } = [];

    /// <summary>What the sidecar calls itself.</summary>
    public string? Product { get; private set; }

    /// <summary>Tensors go through shared memory.</summary>
    public bool SharesMemory => Arena is not null;

    /// <summary>Why no ring, or a smaller one than wanted; empty where all is well.</summary>
    public string RingProblem { get; private init; } = "";

    /// <summary>The sidecar has asked to be left: new calls are refused with <c>draining</c>.</summary>
    public bool IsDraining => _draining;

    /// <summary>The worker's part of the ring; null where all goes inline.</summary>
    internal RingArena? Arena { get; private set; }

    /// <summary>The ring once the sidecar has mapped it.</summary>
    internal SharedRing? Ring { get; private set; }

    internal UdsOptions Options => _options;

    /// <summary>Who wants to know how far loading has come.</summary>
    internal CallProgress? Loading { get; private set; }

    /// <summary>Connects, greets, and waits until the models are loaded. A socket that is not there yet is tried again.</summary>
    /// <param name="options">Where and how.</param>
    /// <param name="loading">Told how far the sidecar has loaded; null: not wanted.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="RuntimeException">There is no sidecar, or it cannot serve; the message says why.</exception>
    public static Task<UdsConnection> ConnectAsync(UdsOptions options, IProgress<RuntimeProgress>? loading, CancellationToken cancellationToken) =>
        ConnectAsync(options, loading, TimeProvider.System, firstCall: 1, cancellationToken);

    internal static async Task<UdsConnection> ConnectAsync(
        UdsOptions options, IProgress<RuntimeProgress>? loading, TimeProvider time, ulong firstCall, CancellationToken cancellationToken)
    {
        options.Validate();
        var socket = await UdsDialer.DialAsync(options, time, cancellationToken).ConfigureAwait(false);
        SharedRing? ring = null;
        var problem = "";
        if (options.SharedMemory)
        {
            RingFiles.TryCreate(options.RingFolder, options.InputRingBytes, options.OutputRingBytes, options.RingOwner, out ring, out problem);
        }

        var connection = new UdsConnection(options, time, socket, ring, firstCall) { RingProblem = problem };
        try
        {
            await connection.GreetAsync(loading, cancellationToken).ConfigureAwait(false);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A model's runtime over this connection; disposing it leaves the connection open.</summary>
    /// <exception cref="RuntimeException">The sidecar has no such model; the message lists those it has.</exception>
    public UdsRuntime Open(string? model) => new(this, ownsConnection: false, model);

    /// <summary>Ends the connection: calls that are open fail, tensors that were given out stay readable.</summary>
    public ValueTask DisposeAsync()
    {
        if (_loss is null && _writer.Add(FrameType.Drain, 0))
        {
            _writer.Flush();
        }

        End(new UdsLoss(UdsEnding.Closed, "the connection was closed"));
        return new ValueTask(_lost.Task); // by the reader, as its last act
    }

    /// <summary>Sends a call once the agreed number allows it and its tensors have their places.</summary>
    internal async ValueTask<UdsCall> BeginAsync(int model, IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        if (OutgoingMessage.Refuse(inputs) is { } refusal)
        {
            throw new RuntimeException(refusal, retryable: false) { Code = SidecarErrors.BadInput };
        }

        ThrowIfGone();
        var permits = _permits;
        await permits.WaitAsync(cancellationToken).ConfigureAwait(false);
        var message = new OutgoingMessage(FrameType.Infer, inputs) { Model = model, Time = (ulong)Math.Ceiling(_options.CallTimeout?.TotalMilliseconds ?? 0) };
        try
        {
            if (!message.TryPlace(Arena, _options.InlineBelow))
            {
                await message.PlaceAsync(Arena!, _options.InlineBelow, _options.RingPatience, _time, cancellationToken).ConfigureAwait(false);
            }

            if (message.Total > _maxCallBytes || message.Inline > _maxCallBytes)
            {
                throw new RuntimeException($"{message.Total} bytes of tensors; the sidecar takes {_maxCallBytes} at once", retryable: false) { Code = SidecarErrors.TooLarge };
            }

            var call = new UdsCall(message, progress is null ? null : new CallProgress(progress), _time.GetTimestamp());
            lock (_lock)
            {
                ThrowIfGone();
                message.Call = ++_last;
                _calls.Add(message.Call, call);
                if (!_writer.Add(message)) // under this lock: numbers must grow on the wire
                {
                    _calls.Remove(message.Call);
                    throw (_loss ?? new UdsLoss(UdsEnding.StreamEnded, "the sidecar does not read")).ToException();
                }
            }

            _writer.Flush();
            return call;
        }
        catch
        {
            message.EndUses();
            permits.Release();
            throw;
        }
    }

    /// <summary>Asks the sidecar to stop; the caller is told by the answer, or soon.</summary>
    internal void Cancel(UdsCall call, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (call.CancelledAt != 0 || !_calls.ContainsKey(call.Message.Call))
            {
                return;
            }

            call.CancellationToken = cancellationToken;
            call.CancelledAt = _time.GetTimestamp();
            _writer.Abandon(call.Message);
            _writer.Add(FrameType.Cancel, call.Message.Call);
        }

        _writer.Flush();
    }

    /// <summary>Nobody reads the places of an answer any more. Goes out with the next frame.</summary>
    internal void Release(ulong call, long bytes)
    {
        if (!_writer.Add(FrameType.Release, call))
        {
            End(new UdsLoss(UdsEnding.StreamEnded, "the sidecar does not read")); // or the connection has ended before
            return;
        }

        if (Interlocked.Add(ref _owed, bytes) > _options.OutputRingBytes / OwedShare)
        {
            Interlocked.Exchange(ref _owed, 0);
            _writer.Flush();
        }
    }

    internal void Greeted(SidecarHello hello)
    {
        Product = hello.Product;
        _offered?.Unlink();
        if (hello.Ring && _offered is not null)
        {
            Ring = _offered;
            Arena = new RingArena(_offered, _offered.Layout.Inputs);
        }

        _maxCallBytes = Math.Min(_options.MaxCallBytes, hello.MaxCallBytes);
        _permits = new SemaphoreSlim(Math.Min(_options.MaxCalls, hello.MaxCalls));
        _greeted.TrySetResult();
    }

    internal void BecameReady(Ready ready)
    {
        Models = ready.Models;
        _ready.TrySetResult();
    }

    internal void Pong() => Volatile.Write(ref _pongDue, false);

    internal void Ping(ReadOnlySpan<byte> payload)
    {
        if (!_writer.Add(FrameType.Pong, 0, payload))
        {
            throw new BadFrameException("pings are sent and answers are not read");
        }

        _writer.Flush();
    }

    internal void Drain()
    {
        bool idle;
        lock (_lock)
        {
            _draining = true;
            idle = _calls.Count == 0;
        }

        if (idle)
        {
            End(Drained);
        }
    }

    /// <summary>The open call of a frame.</summary>
    internal UdsCall? Find(ulong number)
    {
        lock (_lock)
        {
            return _calls.GetValueOrDefault(number);
        }
    }

    /// <summary>The sidecar has answered: the call is no longer open, its inputs are free.</summary>
    internal void Close(UdsCall call)
    {
        bool last;
        lock (_lock)
        {
            _calls.Remove(call.Message.Call);
            last = _draining && _calls.Count == 0;
        }

        Free(call);
        if (last)
        {
            End(Drained);
        }
    }

    internal void End(UdsLoss loss)
    {
        lock (_lock)
        {
            if (_loss is not null)
            {
                return;
            }

            _loss = loss;
        }

        _timer?.Dispose();
        _socket.Shutdown();
        if (!_reader.IsAlive && _reader.ThreadState.HasFlag(ThreadState.Unstarted))
        {
            Finish();
        }
    }

    private static UdsLoss Drained => new(UdsEnding.Drained, "the sidecar asked to be left");

    private async Task GreetAsync(IProgress<RuntimeProgress>? loading, CancellationToken cancellationToken)
    {
        var hello = new WorkerHello(UdsProduct.Name, _options.MaxCalls, _options.MaxCallBytes, _offered?.Layout);
        _writer.Add(FrameType.Hello, 0, Hello.Write(SidecarLimits.Version, SidecarLimits.Version, hello));
        _writer.Flush();
        Loading = loading is null ? null : new CallProgress(loading);
        _reader.Start();
        _timer = _time.CreateTimer(static connection => ((UdsConnection)connection!).Tick(), this, s_tick, s_tick);
        await AwaitAsync(_greeted.Task, _options.ConnectTimeout, "greet", cancellationToken).ConfigureAwait(false);
        await AwaitAsync(_ready.Task, _options.ReadyTimeout, "get ready", cancellationToken).ConfigureAwait(false);
    }

    private async Task AwaitAsync(Task step, TimeSpan timeout, string what, CancellationToken cancellationToken)
    {
        try
        {
            await Task.WhenAny(step, _lost.Task).WaitAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new RuntimeException($"the sidecar at '{_options.SocketPath}' did not {what} within {timeout.TotalSeconds:0.#} s", retryable: true) { Code = SidecarErrors.ConnectionLost };
        }

        if (!step.IsCompleted)
        {
            throw (await _lost.Task.ConfigureAwait(false)).ToException();
        }
    }

    /// <summary>The reader's thread, from greeting to end.</summary>
    private void Read()
    {
        try
        {
            new FrameReader(_socket).Run(new WorkerFrames(this));
            End(_draining ? Drained : new UdsLoss(UdsEnding.StreamEnded, "the sidecar closed the connection"));
        }
        catch (BadFrameException fault)
        {
            _writer.SayLast(FrameType.Error, 0, new SidecarError(SidecarErrors.BadFrame, fault.Message, Retryable: true).Write());
            End(new UdsLoss(UdsEnding.BadFrame, $"the sidecar broke the protocol: {fault.Message}"));
        }
        catch (Exception fault)
        {
            End(new UdsLoss(UdsEnding.BadFrame, $"reading the connection failed: {fault}"));
        }

        Finish();
    }

    /// <summary>After the end, when nobody reads any more.</summary>
    private void Finish()
    {
        _writer.Close();
        UdsCall[] open;
        lock (_lock)
        {
            open = [.. _calls.Values];
            _calls.Clear();
        }

        foreach (var call in open)
        {
            call.Answer?.Drop();
            Free(call);
            call.TryTell(_loss!.ToException());
        }

        _offered?.Release();
        _socket.Dispose();
        _lost.TrySetResult(_loss!);
    }

    private void Free(UdsCall call)
    {
        _writer.Abandon(call.Message); // an error may come before all inline bytes have gone
        call.Message.EndUses();
        _permits.Release();
    }

    private void ThrowIfGone()
    {
        if (_loss is { } loss)
        {
            throw loss.ToException();
        }

        if (_draining)
        {
            throw new RuntimeException("the sidecar is about to end and takes no new calls", retryable: true) { Code = SidecarErrors.Draining };
        }
    }

    private void Tick()
    {
        var now = _time.GetTimestamp();
        UdsCall[] open;
        lock (_lock)
        {
            if (_loss is not null)
            {
                return;
            }

            open = _calls.Count == 0 ? [] : [.. _calls.Values];
        }

        foreach (var call in open)
        {
            if (call.CancelledAt != 0 && _time.GetElapsedTime(call.CancelledAt, now) > _options.CancelPatience)
            {
                call.TryTell(new OperationCanceledException(call.CancellationToken));
            }

            if (_options.CancelTimeout is { } patience && call.CancelledAt != 0 && _time.GetElapsedTime(call.CancelledAt, now) > patience && Models[call.Message.Model].Cancel)
            {
                End(new UdsLoss(UdsEnding.Hung, $"the sidecar has not answered a cancelled call for {patience.TotalSeconds:0.#} s"));
                return;
            }

            if (_options.CallTimeout is { } timeout && _time.GetElapsedTime(call.Started, now) > timeout + _options.HangGrace)
            {
                var message = $"the sidecar has not answered {_options.HangGrace.TotalSeconds:0.#} s after the {timeout.TotalSeconds:0.#} s that a call may take";
                call.TryTell(new RuntimeException(message, retryable: false) { Code = SidecarErrors.Deadline });
                End(new UdsLoss(UdsEnding.Hung, message));
                return;
            }
        }

        if (_greeted.Task.IsCompleted)
        {
            KeepAlive(now);
        }

        Interlocked.Exchange(ref _owed, 0);
        _writer.Flush();
    }

    private void KeepAlive(long now)
    {
        if (Volatile.Read(ref _pongDue))
        {
            if (_time.GetElapsedTime(_pinged, now) > _options.PingTimeout)
            {
                End(new UdsLoss(UdsEnding.NoPong, $"the sidecar has not answered a ping for {_options.PingTimeout.TotalSeconds:0.#} s"));
            }
        }
        else if (_pinged == 0 || _time.GetElapsedTime(_pinged, now) >= _options.PingInterval)
        {
            _pinged = now;
            _pongDue = true;
            _writer.Add(FrameType.Ping, 0, BitConverter.GetBytes(now));
        }
    }
}
