using Myelin.Inference.Runtimes;
using Myelin.Testing;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>A call of <c>sleep</c> that says when it computes and ends when the test says so: no time decides.</summary>
internal sealed class Gate : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Tensor _milliseconds = Tensors.Int64("ms", 700);
    private readonly Tensor _path;

    public Gate() => _path = Tensors.Text("gate", Path.Combine(_folder.Path, "gate"));

    public IReadOnlyList<Tensor> Inputs => [_milliseconds, _path];

    public Task BegunAsync() => Wait.UntilAsync(() => File.Exists(Path.Combine(_folder.Path, "gate.begun")), "the call computes");

    public void Open() => File.WriteAllText(Path.Combine(_folder.Path, "gate"), "");

    public void Dispose()
    {
        Open();
        _milliseconds.Dispose();
        _path.Dispose();
        _folder.Dispose();
    }
}
