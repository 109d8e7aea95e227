using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;

namespace Myelin.Sidecar;

/// <summary>A network in an ONNX file, executed by ONNX Runtime in this sidecar.</summary>
internal sealed class OnnxModel(string name, string path, OnnxOptions options) : SidecarModel
{
    private OnnxRuntime? _runtime;

    public override string Name { get; } = name;

    public override int Concurrency => options.Instances;

    public override IReadOnlyList<TensorSpec> Inputs => _runtime?.Inputs ?? [];

    public override IReadOnlyList<TensorSpec> Outputs => _runtime?.Outputs ?? [];

    public override async ValueTask LoadAsync(SidecarContext context, CancellationToken cancellationToken) =>
        _runtime = await Task.Run(() => OnnxRuntime.Load(path, options), cancellationToken).ConfigureAwait(false);

    public override ValueTask<TensorSet> InferAsync(SidecarCall call, CancellationToken cancellationToken) =>
        _runtime!.InferAsync(call.Inputs, cancellationToken);

    public override async ValueTask DisposeAsync()
    {
        if (_runtime is not null)
        {
            await _runtime.DisposeAsync().ConfigureAwait(false);
        }

        await base.DisposeAsync().ConfigureAwait(false);
    }
}
