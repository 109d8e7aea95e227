using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>One network of a pipeline, loaded or not. Owned by <see cref="ComponentStore"/>, which guards all but the gate.</summary>
internal sealed class Component(string name, string file, long bytes, int instances) : IDisposable
{
    public string Name { get; } = name;

    /// <summary>Within the revision's folder.</summary>
    public string File { get; } = file;

    /// <summary>Of the weights on disk; about what they take in the memory of this process.</summary>
    public long Bytes { get; } = bytes;

    /// <summary>Waiting here, not in the runtime's queue, can be cancelled at once.</summary>
    public SemaphoreSlim Gate { get; } = new(instances);

    public IReadOnlyList<TensorSpec> Inputs { get; set; } = [];

    public IReadOnlyList<TensorSpec> Outputs { get; set; } = [];

    public IRuntime? Runtime { get; set; }

    public int Users { get; set; }

    public long LastUsed { get; set; }

    public void Dispose() => Gate.Dispose();
}

/// <summary>The right to call a loaded network; disposing gives it back.</summary>
internal sealed class ComponentLease(ComponentStore store, Component component, IRuntime runtime, TimeProvider time) : IDisposable
{
    private int _returned;

    public Component Component => component;

    /// <summary>Runs the network and adds the time inside it to <paramref name="meter"/>.</summary>
    public async ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        await component.Gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var started = time.GetTimestamp();
            var outputs = await runtime.InferAsync(inputs, cancellationToken).ConfigureAwait(false);
            meter.Add(time.GetElapsedTime(started));
            return outputs;
        }
        finally
        {
            component.Gate.Release();
        }
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _returned, 1) == 0)
        {
            store.Return(component);
        }
    }
}

/// <summary>Time that one job spent inside the runtime. Used by one job at a time.</summary>
internal sealed class RuntimeMeter
{
    public TimeSpan Total { get; private set; }

    public int Calls { get; private set; }

    public void Add(TimeSpan time) => (Total, Calls) = (Total + time, Calls + 1);
}
