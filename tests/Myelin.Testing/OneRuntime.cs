using Myelin.Inference.Runtimes;

namespace Myelin.Testing;

/// <summary>Lends one runtime to one task, which disposes it.</summary>
public sealed class OneRuntime(IRuntime runtime, bool computesHere = true) : IRuntimeSource
{
    public string? DeclaredTask => null;

    public bool ComputesHere => computesHere;

    public ValueTask<IRuntime> OpenAsync(string file, CancellationToken cancellationToken) => ValueTask.FromResult(runtime);

    public bool Has(string file) => true;

    public long Bytes(string file) => 0;

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
