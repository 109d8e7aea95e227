using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Uds;

/// <summary>
/// One call inside the sidecar: filled by the reader's thread, then computed and answered on the pool. The reader may cancel it at
/// any moment.
/// </summary>
internal sealed class UdsSidecarCall : SidecarCall, IThreadPoolWorkItem, IDisposable
{
    private static readonly JsonElement s_none = JsonDocument.Parse("{}").RootElement;

    private readonly Lock _lock = new();
    private readonly UdsSession _session;
    private readonly ServedModel _model;
    private readonly IncomingMessage _message;
    private readonly CancellationTokenSource _cancel;
    private TensorSet? _inputs;
    private bool _begun;
    private bool _ended;
    private bool _askedToCancel;

    public UdsSidecarCall(UdsSession session, ServedModel model, ulong number, IncomingMessage message, ReadOnlySpan<byte> parameters)
    {
        (_session, _model, Number, _message) = (session, model, number, message);
        Parameters = parameters.IsEmpty ? s_none : JsonElement.Parse(parameters);
        _cancel = new CancellationTokenSource(message.Time is > 0 and <= int.MaxValue ? TimeSpan.FromMilliseconds((long)message.Time) : Timeout.InfiniteTimeSpan, session.Options.Time);
    }

    public ulong Number { get; }

    public override TensorSet Inputs => _inputs!;

    public override JsonElement Parameters { get; }

    public override Tensor Rent(string name, ElementType type, params long[] shape) =>
        RingTensor.TryRent(_session.Arena, _session.Options.InlineBelow, name, type, shape) ?? Tensor.Rent(name, type, shape);

    public override void Report(RuntimeProgress progress) => _session.SendProgress(Number, progress);

    /// <summary>Where the next inline bytes go; nothing where the message has ended early.</summary>
    public Span<byte> Destination(int length) => _message.IsWhole ? throw new BadFrameException($"DATA of call {Number}, which is whole") : _message.Destination(length);

    public void Filled(int length)
    {
        _message.Filled(length);
        Begin();
    }

    /// <summary>Computes once the message is whole.</summary>
    public void Begin()
    {
        if (_message.IsWhole && !_begun)
        {
            _begun = true;
            _inputs = _message.Take(_session.Ring, loan: null);
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>The worker wants no answer any more. A message that is not whole ends here.</summary>
    public void Cancel()
    {
        if (!_begun)
        {
            _begun = true;
            _message.Drop();
            _session.Fail(Number, new SidecarError(SidecarErrors.Cancelled, "cancelled before it was whole"));
            Dispose();
            return;
        }

        Interrupt();
    }

    /// <summary>The connection has ended.</summary>
    public void Lose()
    {
        if (!_begun)
        {
            _message.Drop();
            Dispose();
            return;
        }

        Interrupt();
    }

    public void Execute() => _ = RunAsync();

    private async Task RunAsync()
    {
        try
        {
            if (BytesElements.Refuse(_inputs!) is { } refusal)
            {
                Fail(new SidecarError(SidecarErrors.BadInput, refusal));
                return;
            }

            var (outputs, compute) = await _model.InferAsync(this, _cancel.Token).ConfigureAwait(false);
            await AnswerAsync(outputs, compute).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_cancel.IsCancellationRequested)
        {
            Fail(_askedToCancel
                ? new SidecarError(SidecarErrors.Cancelled, "cancelled")
                : new SidecarError(SidecarErrors.Deadline, $"the {_message.Time} ms that the caller waits are over"));
        }
        catch (ObjectDisposedException fault) when (fault.ObjectName == typeof(IRuntime).FullName)
        {
            Fail(new SidecarError(SidecarErrors.Draining, "the sidecar is about to end", Retryable: true));
        }
        catch (RuntimeException fault)
        {
            Fail(new SidecarError(fault.Code ?? SidecarErrors.Failed, fault.Message, fault.Retryable));
        }
        catch (OutOfMemoryException fault)
        {
            Fail(new SidecarError(SidecarErrors.OutOfMemory, fault.Message, Retryable: true));
        }
        catch (Exception fault)
        {
            Fail(new SidecarError(SidecarErrors.Failed, fault.Message));
        }
    }

    private async ValueTask AnswerAsync(TensorSet outputs, TimeSpan compute)
    {
        if (OutgoingMessage.Refuse(outputs) is { } refusal)
        {
            outputs.Dispose();
            Fail(new SidecarError(SidecarErrors.Failed, $"the model's answer cannot be sent: {refusal}"));
            return;
        }

        var answer = new OutgoingMessage(FrameType.Result, outputs) { Time = (ulong)Math.Max(0, compute.Ticks * 100) };
        try
        {
            if (!answer.TryPlace(_session.Arena, _session.Options.InlineBelow))
            {
                await answer.PlaceAsync(_session.Arena!, _session.Options.InlineBelow, _session.Options.RingPatience, _session.Options.Time, CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch
        {
            answer.EndUses(); // a tensor that the model has disposed itself
            outputs.Dispose();
            throw;
        }

        if (Math.Max(answer.Total, answer.Inline) > _session.MaxCallBytes)
        {
            answer.EndUses();
            outputs.Dispose();
            Fail(new SidecarError(SidecarErrors.TooLarge, $"the answer has {answer.Total} bytes; at most {_session.MaxCallBytes}"));
            return;
        }

        answer.Detach();
        answer.Sent = () =>
        {
            outputs.Dispose();
            _inputs!.Dispose(); // not before: an answer may give an inline input back
            Dispose();
        };
        if (!_session.Answer(this, answer))
        {
            answer.EndUses();
            answer.Sent();
        }
    }

    private void Fail(SidecarError error)
    {
        _inputs!.Dispose();
        _session.Fail(Number, error);
        Dispose();
    }

    private void Interrupt()
    {
        lock (_lock)
        {
            if (!_ended)
            {
                _askedToCancel = true;
                _ = _cancel.CancelAsync(); // elsewhere: what the model does then must not hold up the reader
            }
        }
    }

    /// <summary>The answer is out, or nobody wants it.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _ended = true;
        }

        _cancel.Dispose();
    }
}
