namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>
/// One call on its way to an instance's thread. Either the instance begins it or its canceller abandons it, whoever
/// comes first: a call that still waits ends at once, its inputs untouched. Continuations never run on the instance.
/// </summary>
internal sealed class OnnxCall(IReadOnlyList<Tensor> inputs, CancellationToken cancellationToken)
    : TaskCompletionSource<TensorSet>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    private int _taken;

    public IReadOnlyList<Tensor> Inputs { get; } = inputs;

    public CancellationToken CancellationToken { get; } = cancellationToken;

    /// <summary>How long the network ran; set before the result.</summary>
    public TimeSpan Compute { get; set; }

    /// <summary>False where the caller has left.</summary>
    public bool TryBegin() => Interlocked.Exchange(ref _taken, 1) == 0;

    /// <summary>Ends the call unless it has begun.</summary>
    public void Abandon()
    {
        if (Interlocked.Exchange(ref _taken, 1) == 0)
        {
            TrySetCanceled(CancellationToken);
        }
    }
}
