using System.Collections;

namespace Myelin.Inference.Runtimes;

/// <summary>The tensors of one call, disposed together.</summary>
public sealed class TensorSet(IReadOnlyList<Tensor> tensors) : IReadOnlyList<Tensor>, IDisposable
{
    public int Count => tensors.Count;

    public Tensor this[int index] => tensors[index];

    /// <exception cref="KeyNotFoundException">No tensor has this name; the message lists those there are.</exception>
    public Tensor this[string name] => tensors.FirstOrDefault(t => t.Name == name)
        ?? throw new KeyNotFoundException($"no tensor '{name}'; there are: {string.Join(", ", tensors.Select(t => t.Name))}");

    public IEnumerator<Tensor> GetEnumerator() => tensors.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose()
    {
        foreach (var tensor in tensors)
        {
            tensor.Dispose();
        }
    }
}
