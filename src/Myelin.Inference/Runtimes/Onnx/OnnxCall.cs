namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>One call on its way to an instance's thread. Its continuation never runs on that thread.</summary>
internal sealed class OnnxCall(IReadOnlyList<Tensor> inputs, CancellationToken cancellationToken)
    : TaskCompletionSource<TensorSet>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    public IReadOnlyList<Tensor> Inputs { get; } = inputs;

    public CancellationToken CancellationToken { get; } = cancellationToken;
}
