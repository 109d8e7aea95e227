using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// The networks of one pipeline: loaded when needed, released when idle or when another needs the memory. Owner: the
/// pipeline. Any number of jobs lease at once; loading is one at a time.
/// </summary>
/// <param name="source">Where the networks come from; not owned.</param>
internal sealed class ComponentStore(ComponentOptions options, IRuntimeSource source, TimeProvider time) : IAsyncDisposable
{
    private readonly Dictionary<string, Component> _components = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _loading = new(1);
    private readonly Lock _lock = new();
    private ITimer? _sweep;
    private bool _disposed;

    /// <summary>Loads a network for the first time, to see that it loads and what it takes.</summary>
    /// <exception cref="ModelException">It does not load; names the file.</exception>
    public async Task<Component> AddAsync(ModelFiles files, string part, CancellationToken cancellationToken)
    {
        var file = $"{part}/model.onnx";
        if (!source.Has(file))
        {
            files.Require(file); // says what a complete folder is
        }

        var component = new Component(part, file, source.Bytes(file), options.Instances);
        _components.Add(part, component);
        try
        {
            using var lease = await LeaseAsync(part, cancellationToken).ConfigureAwait(false);
        }
        catch (RuntimeException fault)
        {
            throw ModelFiles.Broken(file, "", fault.Message);
        }

        _sweep ??= time.CreateTimer(_ => _ = ReleaseIdleAsync(), null, options.IdleRelease / 2, options.IdleRelease / 2);
        return component;
    }

    /// <summary>The network, loaded if need be. The caller disposes the lease once it made its calls.</summary>
    /// <exception cref="RuntimeException">The network does not load any more.</exception>
    public async ValueTask<ComponentLease> LeaseAsync(string part, CancellationToken cancellationToken)
    {
        var component = _components[part];
        if (TryTake(component) is { } ready)
        {
            return ready;
        }

        await _loading.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (TryTake(component) is { } meanwhile)
            {
                return meanwhile;
            }

            await MakeRoomAsync(component.Bytes).ConfigureAwait(false);
            var runtime = await source.OpenAsync(component.File, cancellationToken).ConfigureAwait(false);
            lock (_lock)
            {
                (component.Inputs, component.Outputs) = (runtime.Inputs, runtime.Outputs);
                component.Runtime = runtime;
            }

            return TryTake(component)!;
        }
        finally
        {
            _loading.Release();
        }
    }

    /// <summary>Parts that are loaded now.</summary>
    public IReadOnlyList<string> Loaded()
    {
        lock (_lock)
        {
            return [.. _components.Values.Where(c => c.Runtime is not null).Select(c => c.Name)];
        }
    }

    public void Return(Component component)
    {
        lock (_lock)
        {
            component.Users--;
            component.LastUsed = time.GetTimestamp();
        }
    }

    /// <summary>Releases what nobody used for <see cref="ComponentOptions.IdleRelease"/>.</summary>
    public async Task ReleaseIdleAsync()
    {
        while (Evict(c => time.GetElapsedTime(c.LastUsed) >= options.IdleRelease) is { } idle)
        {
            await idle.DisposeAsync().ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _disposed = true;
        }

        _sweep?.Dispose();
        foreach (var component in _components.Values)
        {
            if (component.Runtime is { } runtime)
            {
                await runtime.DisposeAsync().ConfigureAwait(false);
            }

            component.Dispose();
        }

        _loading.Dispose();
    }

    private ComponentLease? TryTake(Component component)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (component.Runtime is not { } runtime)
            {
                return null;
            }

            component.Users++;
            component.LastUsed = time.GetTimestamp();
            return new ComponentLease(this, component, runtime, time);
        }
    }

    private async Task MakeRoomAsync(long needed)
    {
        while (LoadedBytes() + needed > options.MemoryBudget && Evict(_ => true) is { } runtime)
        {
            await runtime.DisposeAsync().ConfigureAwait(false);
        }
    }

    private long LoadedBytes()
    {
        lock (_lock)
        {
            return _components.Values.Where(c => c.Runtime is not null).Sum(c => c.Bytes);
        }
    }

    /// <summary>Takes the longest unused network out; null where all are in use or spared.</summary>
    private IRuntime? Evict(Func<Component, bool> may)
    {
        lock (_lock)
        {
            var component = _components.Values.Where(c => c.Runtime is not null && c.Users == 0 && may(c)).MinBy(c => c.LastUsed);
            var runtime = component?.Runtime;
            if (component is not null)
            {
                component.Runtime = null;
            }

            return runtime;
        }
    }
}
