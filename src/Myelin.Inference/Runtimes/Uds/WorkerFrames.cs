using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>What a worker makes of the frames that come from the sidecar; the phases of the connection. Runs on the reader's thread.</summary>
internal sealed class WorkerFrames(UdsConnection connection) : IFrameSink
{
    private readonly NameCache _names = new();
    private Phase _phase;
    private UdsCall? _filling; // the call of the DATA frame being read

    public void OnFrame(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Type)
        {
            case FrameType.Hello when _phase == Phase.New:
                Greeted(payload);
                break;
            case FrameType.Error when header.Call == 0:
                Ended(SidecarError.Read(payload));
                break;
            case FrameType.Ready when _phase == Phase.Loading:
                connection.BecameReady(Ready.Read(payload));
                _phase = Phase.Ready;
                break;
            case FrameType.Progress when header.Call == 0 && _phase == Phase.Loading:
                connection.Loading?.Add(Progress(payload));
                break;
            case FrameType.Ping when _phase != Phase.New:
                connection.Ping(payload);
                break;
            case FrameType.Pong when _phase != Phase.New:
                connection.Pong();
                break;
            case FrameType.Drain when _phase != Phase.New:
                connection.Drain();
                break;
            case FrameType.Result when _phase == Phase.Ready:
                Result(header, payload);
                break;
            case FrameType.Error when _phase == Phase.Ready:
                Failed(header, SidecarError.Read(payload));
                break;
            case FrameType.Progress when _phase == Phase.Ready && header.Call != 0:
                if (Open(header).Progress is { } receiver)
                {
                    receiver.Add(Progress(payload));
                }

                break;
            default:
                throw new BadFrameException($"{header.Type} may not come now");
        }
    }

    public Span<byte> OnData(FrameHeader header)
    {
        _filling = Open(header);
        var answer = _filling.Answer ?? throw new BadFrameException("DATA before RESULT");
        return answer.Destination(header.Length);
    }

    public void OnDataRead(FrameHeader header)
    {
        _filling!.Answer!.Filled(header.Length);
        Finish(_filling);
    }

    private void Greeted(ReadOnlySpan<byte> payload)
    {
        var (version, hello) = Hello.ReadSidecar(payload);
        if (version != SidecarLimits.Version)
        {
            throw new BadFrameException($"HELLO: version {version} was not offered");
        }

        connection.Greeted(hello);
        _phase = Phase.Loading;
    }

    private void Result(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        var call = Open(header);
        if (call.Answer is not null)
        {
            throw new BadFrameException("a second RESULT of one call");
        }

        var head = CallHead.Read(payload, connection.Ring?.Layout.Outputs);
        if (head.Model != 0 || head.Total > (ulong)connection.Options.MaxCallBytes)
        {
            throw new BadFrameException($"RESULT of model {head.Model} with {head.Total} bytes");
        }

        call.Answer = new IncomingMessage(in head, _names);
        Finish(call);
    }

    private void Finish(UdsCall call)
    {
        var answer = call.Answer!;
        if (!answer.IsWhole)
        {
            return;
        }

        connection.Close(call);
        var loan = answer.RingTensors > 0 ? new RingLoan(answer.RingTensors, answer.RingBytes, call.Message.Call, connection.Release) : null;
        var outputs = answer.Take(connection.Ring, loan);
        if (!call.TryTell(new UdsAnswer(outputs, TimeSpan.FromTicks((long)Math.Min(answer.Time / 100, long.MaxValue)))))
        {
            outputs.Dispose();
        }
    }

    private void Failed(FrameHeader header, SidecarError error)
    {
        var call = Open(header);
        call.Answer?.Drop();
        connection.Close(call);
        call.TryTell(error.Code == SidecarErrors.Cancelled && call.CancelledAt != 0
            ? new OperationCanceledException(call.CancellationToken)
            : new RuntimeException(error.Message is { Length: > 0 } message ? message : error.Code, error.Retryable) { Code = error.Code });
    }

    /// <summary>ERROR on call 0: the sidecar closes next.</summary>
    private void Ended(SidecarError error) => connection.End(new UdsLoss(
        error.Code switch
        {
            SidecarErrors.LoadFailed => UdsEnding.LoadFailed,
            SidecarErrors.VersionMismatch => UdsEnding.VersionMismatch,
            SidecarErrors.BadFrame => UdsEnding.BadFrame,
            _ => UdsEnding.StreamEnded,
        },
        $"the sidecar says {error.Code}: {error.Message}"));

    private UdsCall Open(FrameHeader header) =>
        connection.Find(header.Call) ?? throw new BadFrameException($"{header.Type} of call {header.Call}, which is not open");

    private static RuntimeProgress Progress(ReadOnlySpan<byte> payload)
    {
        var frame = ProgressFrame.Read(payload);
        return new RuntimeProgress((int)Math.Min(frame.Step, int.MaxValue), (int)Math.Min(frame.Steps, int.MaxValue), frame.Preview.ToArray());
    }

    private enum Phase
    {
        New,
        Loading,
        Ready,
    }
}
