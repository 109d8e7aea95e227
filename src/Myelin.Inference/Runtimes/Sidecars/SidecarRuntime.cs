using System.Runtime.CompilerServices;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>
/// One network of a model's sidecars, whichever of them is there: each call goes to the least busy. A call whose sidecar
/// crashed is given to another, or to the next life of the same, once; nothing was delivered, and the inputs are still the
/// caller's. A sidecar that drains has done nothing with the call: it goes elsewhere at once.
/// </summary>
internal sealed class SidecarRuntime : IRuntime
{
    private const int MostDetours = 100;

    /// <summary>From the end of a call to the end of its process and the reason for it.</summary>
    private static readonly TimeSpan s_inquest = TimeSpan.FromSeconds(3);

    private readonly SidecarPool _pool;
    private readonly SidecarNetwork _network;
    private readonly RuntimeCounter _counter = new();
    private readonly ConditionalWeakTable<Tensor, SidecarSession> _homes = [];
    private volatile IRuntime _last;

    /// <param name="pool">With a session that is ready; not owned.</param>
    /// <param name="network">One of the pool's.</param>
    /// <param name="first">The network in one of the pool's sessions.</param>
    public SidecarRuntime(SidecarPool pool, SidecarNetwork network, IRuntime first) => (_pool, _network, _last) = (pool, network, first);

    public IReadOnlyList<TensorSpec> Inputs => _last.Inputs;

    public IReadOnlyList<TensorSpec> Outputs => _last.Outputs;

    public RuntimeCapabilities Capabilities => _last.Capabilities;

    public RuntimeStatistics Statistics => _counter.Statistics;

    public Tensor Rent(string name, ElementType type, params long[] shape)
    {
        if (_pool.TryChoose(null) is not { } session || session.Find(_network) is not { } runtime)
        {
            return Tensor.Rent(name, type, shape);
        }

        var tensor = runtime.Rent(name, type, shape);
        if (_pool.HasChoice)
        {
            _homes.Add(tensor, session); // the call had best go where its memory is
        }

        return tensor;
    }

    public async ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _counter.Begin();
        try
        {
            var (outputs, taken) = await RouteAsync(inputs, progress, cancellationToken).ConfigureAwait(false);
            _pool.Tally.Succeeded(taken);
            _counter.Succeeded(taken);
            return outputs;
        }
        catch (Exception fault)
        {
            _pool.Tally.Ended(fault, cancellationToken);
            _counter.Ended(fault, cancellationToken);
            throw;
        }
    }

    public async ValueTask DrainAsync(CancellationToken cancellationToken) =>
        await _counter.DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);

    public async ValueTask DisposeAsync() => await _counter.DrainAsync().ConfigureAwait(false);

    private async Task<(TensorSet Outputs, TimeSpan Taken)> RouteAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        SidecarSession? home = null, left = null;
        if (_pool.HasChoice && inputs.Count > 0)
        {
            _homes.TryGetValue(inputs[0], out home);
        }

        for (var (detours, crashed) = (0, false); ;)
        {
            var waiting = _pool.Time.GetTimestamp();
            var session = await _pool.EnterAsync(home, left, cancellationToken).ConfigureAwait(false);
            _pool.Tally.Waited(_pool.Time.GetElapsedTime(waiting));
            try
            {
                var runtime = await session.RuntimeAsync(_network, cancellationToken).ConfigureAwait(false);
                _last = runtime;
                var began = _pool.Time.GetTimestamp();
                var outputs = await runtime.InferAsync(inputs, progress, cancellationToken).ConfigureAwait(false);
                return (outputs, _pool.Time.GetElapsedTime(began));
            }
            catch (RuntimeException fault) when (fault.Code == SidecarErrors.Draining && detours < MostDetours)
            {
                detours++;
            }
            catch (ObjectDisposedException) when (!session.IsOpen && detours < MostDetours)
            {
                detours++; // it closed between entering and calling
            }
            catch (RuntimeException fault) when (fault.Code == SidecarErrors.Deadline)
            {
                if (_last.Capabilities.Transport == "http")
                {
                    session.Overran(); // over UDS the sidecar answers when it has stopped, or the connection ends it
                }

                throw;
            }
            catch (RuntimeException fault) when (fault.Retryable && fault.Code is SidecarErrors.ConnectionLost or SidecarErrors.BadFrame)
            {
                await session.Connection.SuspectAsync(cancellationToken).ConfigureAwait(false);
                if (crashed)
                {
                    throw await TwiceAsync(session, fault).ConfigureAwait(false);
                }

                crashed = true;
                _pool.Tally.Retried();
            }
            finally
            {
                session.Leave();
            }

            left = session;
        }
    }

    /// <summary>Not worth another attempt: what kills two processes kills the third.</summary>
    private async Task<RuntimeException> TwiceAsync(SidecarSession session, RuntimeException fault)
    {
        await ((Task)session.Ended).WaitAsync(s_inquest, _pool.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var why = session.Ended.IsCompleted ? await session.Ended.ConfigureAwait(false) : fault.Message;
        var hung = session.Connection.Lost.IsCompleted && (await session.Connection.Lost.ConfigureAwait(false)).Hung;
        return new RuntimeException($"the sidecar of {_pool.Definition.Name} {(hung ? "hung" : "ended")} twice during this call: {why}", retryable: false, fault)
        {
            Code = hung && fault.Code != SidecarErrors.BadFrame ? SidecarErrors.Deadline : fault.Code,
        };
    }
}
