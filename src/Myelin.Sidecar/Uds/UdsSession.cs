using System.Net.Sockets;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Uds;

/// <summary>
/// One worker's connection. Threads: one reads (<see cref="SessionFrames"/>) and computes nothing, so that a ping is answered
/// while a network runs; calls are computed on the pool and write their own answers. Ends when the stream does: what
/// runs then is cancelled, and the ring is unmapped when the last computing call has let go of it.
/// </summary>
internal sealed class UdsSession
{
    private readonly Lock _lock = new();
    private readonly UdsSocket _socket;
    private readonly Action<UdsSession> _ended;
    private readonly Dictionary<ulong, UdsSidecarCall> _calls = [];
    private readonly Dictionary<ulong, OutgoingMessage> _held = [];
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _reader;
    private readonly FrameWriter _writer;
    private SharedRing? _ring;
    private TaskCompletionSource? _idle;
    private ulong _highest;
    private bool _isClosed;
    private bool _greeted;
    private bool _workerDrains;
    private IReadOnlyList<ServedModel>? _models;

    public UdsSession(Socket socket, UdsListenerOptions options, Action<UdsSession> ended)
    {
        (_socket, _ended, Options) = (new UdsSocket(socket), ended, options);
        // The answers of all open calls may wait here, and some pongs and progress.
        _writer = new FrameWriter(_socket, (options.MaxCalls * (SidecarLimits.Head + OutgoingMessage.CopyBelow + (2 * FrameHeader.Bytes))) + options.MaxProgressBytes + (2 * SidecarLimits.Payload));
        _reader = new Thread(Read) { IsBackground = true, Name = "uds session" };
    }

    public UdsListenerOptions Options { get; }

    /// <summary>This side's part of the ring; null where all goes inline.</summary>
    public RingArena? Arena { get; private set; }

    /// <summary>The ring, where there is one.</summary>
    public SharedRing? Ring => Arena?.Ring;

    public int MaxCalls { get; private set; }

    public long MaxCallBytes { get; private set; }

    /// <summary>This side has sent DRAIN.</summary>
    public bool IsDraining { get; private set; }

    /// <summary>READY has been sent.</summary>
    public bool IsReady { get; private set; }

    public IReadOnlyList<ServedModel> Models => _models ?? [];

    /// <summary>Open calls.</summary>
    public int Running
    {
        get
        {
            lock (_lock)
            {
                return _calls.Count;
            }
        }
    }

    /// <summary>Answers whose places the worker has not given back.</summary>
    public int Held
    {
        get
        {
            lock (_lock)
            {
                return _held.Count;
            }
        }
    }

    public void Start(IReadOnlyList<ServedModel>? models)
    {
        _models = models;
        _reader.Start();
    }

    /// <summary>The models are loaded.</summary>
    public void BecomeReady(IReadOnlyList<ServedModel> models)
    {
        lock (_lock)
        {
            _models = models;
            if (!_greeted)
            {
                return; // said after HELLO
            }

            SayReady();
        }

        _writer.Flush();
    }

    /// <summary>Answers HELLO, and READY with it where the models are loaded.</summary>
    public void Greet(WorkerHello hello)
    {
        if (hello.Ring is { } layout)
        {
            if (SharedRing.TryOpen(layout, out _ring, out var error))
            {
                Arena = new RingArena(_ring, layout.Outputs);
            }
            else
            {
                Log($"tensors go inline: {error}");
            }
        }

        MaxCalls = Math.Min(Options.MaxCalls, hello.MaxCalls);
        MaxCallBytes = Math.Min(Options.MaxCallBytes, hello.MaxCallBytes);
        lock (_lock)
        {
            _writer.Add(FrameType.Hello, 0, Hello.Write(SidecarLimits.Version, new SidecarHello(UdsProduct.Name, Arena is not null, Options.MaxCalls, Options.MaxCallBytes)));
            _greeted = true;
            if (_models is not null)
            {
                SayReady();
            }
        }

        _writer.Flush();
    }

    public void Send(FrameType type, ulong call, ReadOnlySpan<byte> payload = default)
    {
        if (!_writer.Add(type, call, payload))
        {
            throw new BadFrameException("the worker does not read");
        }

        _writer.Flush();
    }

    /// <summary>Progress that a worker does not fetch is dropped.</summary>
    public void SendProgress(ulong call, RuntimeProgress progress)
    {
        var preview = progress.Preview.Length <= SidecarLimits.Json ? progress.Preview.Span : default;
        var frame = new ProgressFrame((uint)Math.Max(0, progress.Step), (uint)Math.Max(0, progress.Steps), preview);
        Span<byte> payload = frame.Bytes <= 512 ? stackalloc byte[frame.Bytes] : new byte[frame.Bytes];
        frame.Write(payload);
        lock (_lock)
        {
            // Under the lock: none may follow the answer.
            if (!_calls.ContainsKey(call) || _writer.Waiting > Options.MaxProgressBytes)
            {
                return;
            }

            _writer.Add(FrameType.Progress, call, payload);
        }

        _writer.Flush();
    }

    /// <summary>A new call's number must be above all before it, and the worker must not have said that it sends no more.</summary>
    public void Number(ulong call)
    {
        if (_workerDrains || call <= _highest)
        {
            throw new BadFrameException(_workerDrains ? "INFER after DRAIN" : $"INFER of call {call} after {_highest}");
        }

        _highest = call;
    }

    /// <summary>This number has been used, so what is not open has been answered.</summary>
    public bool WasUsed(ulong call) => call <= _highest;

    public void Open(UdsSidecarCall call)
    {
        lock (_lock)
        {
            _calls.Add(call.Number, call);
        }
    }

    public UdsSidecarCall? Find(ulong call)
    {
        lock (_lock)
        {
            return _calls.GetValueOrDefault(call);
        }
    }

    /// <summary>Sends the answer; the call is no longer open. Places stay until the worker gives them back.</summary>
    /// <returns>False where the connection has ended: the message is still the caller's.</returns>
    public bool Answer(UdsSidecarCall call, OutgoingMessage message)
    {
        lock (_lock)
        {
            if (_isClosed || !_calls.Remove(call.Number))
            {
                return false;
            }

            message.Call = call.Number;
            if (message.UsesRing)
            {
                _held.Add(call.Number, message); // before it is sent: the worker may be quick
            }

            if (!_writer.Add(message))
            {
                _held.Remove(call.Number);
                return false;
            }

            Idle();
        }

        _writer.Flush();
        return true;
    }

    public void Fail(ulong call, SidecarError error)
    {
        lock (_lock)
        {
            if (_isClosed)
            {
                return;
            }

            _calls.Remove(call);
            _writer.Add(FrameType.Error, call, error.Write());
            Idle();
        }

        _writer.Flush();
    }

    /// <summary>The worker gives back the places of an answer.</summary>
    /// <exception cref="BadFrameException">It holds none.</exception>
    public void Release(ulong call)
    {
        OutgoingMessage? message;
        lock (_lock)
        {
            if (!_held.Remove(call, out message))
            {
                throw new BadFrameException($"RELEASE of call {call}, which holds nothing");
            }

            Idle();
        }

        message.EndUses();
    }

    /// <summary>The worker sends no more calls; the connection is closed when the last has its answer and nothing is held.</summary>
    public void WorkerDrains()
    {
        lock (_lock)
        {
            _workerDrains = true;
            Idle();
        }
    }

    /// <summary>The worker gave up on the connection and closes it.</summary>
    public void WorkerEnds(SidecarError error)
    {
        Log($"a worker ended its connection with {error.Code}: {error.Message}");
        _socket.Shutdown();
    }

    /// <summary>Tells the worker to send no more, and returns when it has every answer.</summary>
    public async Task DrainAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            IsDraining = true;
            if (_greeted)
            {
                _writer.Add(FrameType.Drain, 0);
            }
        }

        _writer.Flush();
        await IdleAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        await _writer.EmptyAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        await _closed.Task.WaitAsync(Options.LeavePatience, Options.Time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Says why and closes.</summary>
    public async Task FailAsync(SidecarError error)
    {
        _writer.Add(FrameType.Error, 0, error.Write());
        _writer.Flush();
        await _writer.EmptyAsync().WaitAsync(Options.LeavePatience, Options.Time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await CloseAsync().ConfigureAwait(false);
    }

    public Task CloseAsync()
    {
        _socket.Shutdown();
        return _closed.Task;
    }

    private void SayReady()
    {
        IsReady = true; // first: whoever flushes next sends it
        _writer.Add(FrameType.Ready, 0, new Ready([.. Models.Select(Describe)]).Write());
    }

    private static ReadyModel Describe(ServedModel served)
    {
        var model = served.Model;
        return new ReadyModel(
            model.Name, model.Version, model.TaskName, model.Concurrency, model.Progress, Cancel: true, Specs(model.Inputs), Specs(model.Outputs));
    }

    private static List<ReadyTensor> Specs(IReadOnlyList<TensorSpec> specs) =>
        [.. specs.Select(spec => new ReadyTensor(spec.Name, spec.Type.WireName(), spec.Shape))];

    /// <summary>Ends when no call is open.</summary>
    private Task IdleAsync()
    {
        lock (_lock)
        {
            if (_isClosed || _calls.Count == 0)
            {
                return Task.CompletedTask;
            }

            _idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _idle.Task;
        }
    }

    /// <summary>Under the lock, after a call or a place has gone.</summary>
    private void Idle()
    {
        if (_calls.Count > 0)
        {
            return;
        }

        _idle?.TrySetResult();
        if (_workerDrains && _held.Count == 0)
        {
            _ = LeaveAsync();
        }
    }

    private async Task LeaveAsync()
    {
        await _writer.EmptyAsync().ConfigureAwait(false);
        _socket.Shutdown();
    }

    /// <summary>The process's log is read by whoever supervises it.</summary>
    private static void Log(string message) => Console.Error.WriteLine(message);

    private void Read()
    {
        try
        {
            new FrameReader(_socket).Run(new SessionFrames(this));
        }
        catch (BadFrameException fault)
        {
            _writer.SayLast(FrameType.Error, 0, new SidecarError(SidecarErrors.BadFrame, fault.Message, Retryable: true).Write());
        }
        catch (VersionMismatchException fault)
        {
            _writer.SayLast(FrameType.Error, 0, new SidecarError(SidecarErrors.VersionMismatch, fault.Message).Write());
        }
        catch (Exception fault)
        {
            Log($"reading a worker's connection failed: {fault}");
        }

        End();
    }

    private void End()
    {
        _socket.Shutdown();
        _writer.Close();
        List<UdsSidecarCall> open;
        List<OutgoingMessage> held;
        lock (_lock)
        {
            _isClosed = true;
            open = [.. _calls.Values];
            held = [.. _held.Values];
            _calls.Clear();
            _held.Clear();
            _idle?.TrySetResult();
        }

        open.ForEach(call => call.Lose());
        held.ForEach(message => message.EndUses());
        _ring?.Release(); // unmapped once the calls that still compute have let go
        _socket.Dispose();
        _ended(this);
        _closed.TrySetResult();
    }
}
