using System.Diagnostics;
using Myelin.Inference.Runtimes;

namespace Myelin.Sidecar;

/// <summary>A model while it is served: its turns and its counters, shared by all transports.</summary>
internal sealed class ServedModel(SidecarModel model) : IAsyncDisposable
{
    private readonly SemaphoreSlim _turns = new(model.Concurrency);
    private readonly RuntimeCounter _counter = new();

    public SidecarModel Model { get; } = model;

    public RuntimeStatistics Statistics => _counter.Statistics;

    /// <summary>Waits for a turn and computes. The outputs are the caller's.</summary>
    /// <returns>The outputs and how long computing took, the wait not counted.</returns>
    /// <exception cref="ObjectDisposedException">The sidecar drains.</exception>
    public async ValueTask<(TensorSet Outputs, TimeSpan Compute)> InferAsync(SidecarCall call, CancellationToken cancellationToken)
    {
        _counter.Begin();
        var turn = false;
        try
        {
            await _turns.WaitAsync(cancellationToken).ConfigureAwait(false);
            turn = true;
            var start = Stopwatch.GetTimestamp();
            var outputs = await Model.InferAsync(call, cancellationToken).ConfigureAwait(false);
            var compute = Stopwatch.GetElapsedTime(start);
            _counter.Succeeded(compute);
            return (outputs, compute);
        }
        catch (Exception fault)
        {
            _counter.Ended(fault, cancellationToken);
            throw;
        }
        finally
        {
            if (turn)
            {
                _turns.Release();
            }
        }
    }

    /// <summary>Refuses new calls; ends when the running ones have.</summary>
    public Task DrainAsync() => _counter.DrainAsync();

    public async ValueTask DisposeAsync()
    {
        await Model.DisposeAsync().ConfigureAwait(false);
        _turns.Dispose();
    }
}
