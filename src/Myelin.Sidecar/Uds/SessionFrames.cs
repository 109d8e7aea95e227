using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Uds;

/// <summary>What a sidecar makes of the frames that come from a worker. Runs on the reader's thread and waits for nothing.</summary>
internal sealed class SessionFrames(UdsSession session) : IFrameSink
{
    private readonly NameCache _names = new();
    private UdsSidecarCall? _filling; // the call of the DATA frame being read
    private bool _greeted;

    public void OnFrame(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Type)
        {
            case FrameType.Hello when !_greeted:
                Greet(payload);
                break;
            case FrameType.Error when header.Call == 0:
                session.WorkerEnds(SidecarError.Read(payload));
                break;
            case FrameType.Ping when _greeted:
                session.Send(FrameType.Pong, 0, payload);
                break;
            case FrameType.Pong when _greeted:
                break; // this side does not ask
            case FrameType.Drain when _greeted:
                session.WorkerDrains();
                break;
            case FrameType.Infer when session.IsReady:
                Infer(header, payload);
                break;
            case FrameType.Cancel when session.IsReady:
                Cancel(header);
                break;
            case FrameType.Release when session.IsReady:
                session.Release(header.Call);
                break;
            default:
                throw new BadFrameException($"{header.Type} may not come now");
        }
    }

    public Span<byte> OnData(FrameHeader header)
    {
        if (!session.IsReady)
        {
            throw new BadFrameException("DATA may not come now");
        }

        _filling = session.Find(header.Call);
        if (_filling is null)
        {
            return session.WasUsed(header.Call) ? default : throw new BadFrameException($"DATA of call {header.Call}, which never began");
        }

        return _filling.Destination(header.Length);
    }

    public void OnDataRead(FrameHeader header) => _filling!.Filled(header.Length);

    private void Greet(ReadOnlySpan<byte> payload)
    {
        var (min, max, hello) = Hello.ReadWorker(payload);
        if (min > SidecarLimits.Version || max < SidecarLimits.Version)
        {
            throw new VersionMismatchException($"this sidecar speaks version {SidecarLimits.Version}, the worker {min} to {max}");
        }

        session.Greet(hello);
        _greeted = true;
    }

    private void Infer(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        var head = CallHead.Read(payload, session.Ring?.Layout.Inputs);
        session.Number(header.Call);
        if (Refuse(in head) is { } refusal)
        {
            session.Fail(header.Call, refusal);
            return;
        }

        IncomingMessage message;
        try
        {
            message = new IncomingMessage(in head, _names);
        }
        catch (OutOfMemoryException)
        {
            session.Fail(header.Call, new SidecarError(SidecarErrors.OutOfMemory, $"no memory for {head.Inline} inline bytes", Retryable: true));
            return;
        }

        var call = new UdsSidecarCall(session, session.Models[head.Model], header.Call, message, head.Parameters);
        session.Open(call);
        call.Begin();
    }

    private SidecarError? Refuse(in CallHead head)
    {
        if (session.IsDraining)
        {
            return new SidecarError(SidecarErrors.Draining, "the sidecar is about to end", Retryable: true);
        }

        if (session.Running >= session.MaxCalls)
        {
            return new SidecarError(SidecarErrors.Overloaded, $"{session.MaxCalls} calls are open", Retryable: true);
        }

        if (head.Model >= session.Models.Count)
        {
            return new SidecarError(SidecarErrors.UnknownModel, $"there is no model {head.Model}; {session.Models.Count} are served");
        }

        return head.Total > (ulong)session.MaxCallBytes
            ? new SidecarError(SidecarErrors.TooLarge, $"{head.Total} bytes of tensors; at most {session.MaxCallBytes}")
            : null;
    }

    private void Cancel(FrameHeader header)
    {
        if (session.Find(header.Call) is { } call)
        {
            call.Cancel();
        }
        else if (!session.WasUsed(header.Call))
        {
            throw new BadFrameException($"CANCEL of call {header.Call}, which never began");
        }
    }
}

/// <summary>The two sides have no version in common.</summary>
internal sealed class VersionMismatchException(string message) : Exception(message);
