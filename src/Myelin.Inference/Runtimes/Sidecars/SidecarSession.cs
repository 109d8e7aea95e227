using System.Collections.Concurrent;
using Myelin.Inference.Runtimes.Sidecars.Connections;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>One life of one sidecar, from ready to its end: the calls go through it, and it knows when the last has ended.</summary>
internal sealed class SidecarSession(SidecarEndpoint endpoint, ISidecarConnection connection)
{
    private readonly ConcurrentDictionary<string, IRuntime> _runtimes = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _overrun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _calls;
    private bool _retired;

    public SidecarEndpoint Endpoint => endpoint;

    public ISidecarConnection Connection => connection;

    /// <summary>Calls under way.</summary>
    public int Calls => Volatile.Read(ref _calls);

    /// <summary>How much it has to do: calls by what it computes at a time.</summary>
    public double Load => (double)Calls / Math.Max(_runtimes.Values.FirstOrDefault()?.Capabilities.Concurrency ?? 1, 1);

    public bool IsOpen => !_retired && !connection.IsDraining && !connection.Lost.IsCompleted;

    /// <summary>Why it ended, once that is known: a moment after its calls have failed. Never faults.</summary>
    public Task<string> Ended => _ended.Task;

    /// <summary>Sums of the runtimes of all networks.</summary>
    public TimeSpan Compute => _runtimes.Values.Aggregate(TimeSpan.Zero, (sum, runtime) => sum + runtime.Statistics.Compute);

    /// <summary>Opens the networks that the task will ask for, so that calls wait for nothing. A connection that lacks one is disposed.</summary>
    public static async Task<SidecarSession> OpenAsync(
        SidecarEndpoint endpoint, ISidecarConnection connection, IEnumerable<SidecarNetwork> networks, CancellationToken cancellationToken)
    {
        try
        {
            var session = new SidecarSession(endpoint, connection);
            foreach (var network in networks)
            {
                await session.RuntimeAsync(network, cancellationToken).ConfigureAwait(false);
            }

            return session;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Null where the network was never asked for in this life of the sidecar.</summary>
    public IRuntime? Find(SidecarNetwork network) => _runtimes.GetValueOrDefault(network.File);

    /// <exception cref="RuntimeException">It does not serve it.</exception>
    public async ValueTask<IRuntime> RuntimeAsync(SidecarNetwork network, CancellationToken cancellationToken) =>
        Find(network) ?? _runtimes.GetOrAdd(network.File, await connection.OpenAsync(network, cancellationToken).ConfigureAwait(false));

    /// <returns>False where it takes no calls any more.</returns>
    public bool TryEnter()
    {
        lock (_lock)
        {
            if (!IsOpen)
            {
                return false;
            }

            _calls++;
            return true;
        }
    }

    public void Leave()
    {
        lock (_lock)
        {
            if (--_calls == 0 && _retired)
            {
                _idle.TrySetResult();
            }
        }
    }

    /// <summary>Completes when a call has taken too long and nobody can tell whether the sidecar has stopped computing it.</summary>
    public Task Overrun => _overrun.Task;

    public void Overran() => _overrun.TrySetResult();

    public void End(string reason) => _ended.TrySetResult(reason);

    /// <summary>Takes no new calls; ends when the last one has.</summary>
    public Task RetireAsync()
    {
        lock (_lock)
        {
            _retired = true;
            if (_calls == 0)
            {
                _idle.TrySetResult();
            }
        }

        return _idle.Task;
    }
}
