using Myelin.Inference.Runtimes;
using Myelin.Sidecar;

namespace Myelin.Tests.Sidecars;

/// <summary>A sidecar's model from a function.</summary>
internal sealed class FunctionModel(string name, Func<SidecarCall, CancellationToken, ValueTask<TensorSet>> infer) : SidecarModel
{
    public override string Name => name;

    public override int Concurrency => 16;

    public override bool Progress => true;

    public override IReadOnlyList<TensorSpec> Inputs => Takes;

    public override IReadOnlyList<TensorSpec> Outputs => Gives;

    public override string? TaskName => Does;

    public IReadOnlyList<TensorSpec> Takes { get; init; } = [];

    public IReadOnlyList<TensorSpec> Gives { get; init; } = [];

    public string? Does { get; init; }

    public Func<CancellationToken, Task> Load { get; init; } = _ => Task.CompletedTask;

    /// <summary>What comes goes back.</summary>
    public static FunctionModel Identity(params TensorSpec[] takes) => new("identity", (call, _) => ValueTask.FromResult(Copy(call.Inputs))) { Takes = takes };

    public static TensorSet Copy(TensorSet tensors) => new([.. tensors.Select(tensor => new Tensor(tensor.Name, tensor.Type, tensor.Shape, tensor.Bytes.ToArray()))]);

    public override async ValueTask LoadAsync(SidecarContext context, CancellationToken cancellationToken) => await Load(cancellationToken);

    public override ValueTask<TensorSet> InferAsync(SidecarCall call, CancellationToken cancellationToken) => infer(call, cancellationToken);
}
