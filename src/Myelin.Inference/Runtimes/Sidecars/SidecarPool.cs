using System.Collections.Immutable;
using System.Globalization;
using Microsoft.Extensions.Logging;
using Myelin.Inference.Models;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>
/// All processes or addresses of one revision of one model; gives each call to the least busy that is ready. Owner: the
/// model's runtime source. Replacement needs nothing here: the new revision has a pool of its own.
/// </summary>
internal sealed class SidecarPool : IAsyncDisposable
{
    private readonly ModelDefinition _definition;
    private readonly SidecarEndpoint[] _endpoints;
    private readonly SidecarOptions _options;
    private readonly Lock _lock = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ImmutableArray<SidecarNetwork> _networks;
    private bool _disposed;

    /// <param name="definition">A model with a sidecar.</param>
    /// <param name="networks">What its task will ask for.</param>
    /// <param name="house">Null where nothing may be started here.</param>
    /// <param name="options">Times and limits.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Whose category names the model.</param>
    public SidecarPool(
        ModelDefinition definition, IReadOnlyList<SidecarNetwork> networks, SidecarHouse? house, SidecarOptions options, TimeProvider time, ILogger logger)
    {
        (_definition, _options, Time, _networks) = (definition, options, time, [.. networks]);
        var sidecar = definition.Sidecar!;
        _endpoints = sidecar.Addresses.Count > 0
            ? [.. sidecar.Addresses.Select(address => new RemoteEndpoint(definition, address, () => Networks, options, time, logger, Changed))]
            : [.. Enumerable.Range(0, definition.Instances.Count).Select(_ => new LocalEndpoint(definition, () => Networks, house!, logger, Changed))];
    }

    public ModelDefinition Definition => _definition;

    /// <summary>What the task asks for, as far as is known; opened at the begin of each session.</summary>
    public IReadOnlyList<SidecarNetwork> Networks => _networks;

    public TimeProvider Time { get; }

    /// <summary>More than one place a call can go.</summary>
    public bool HasChoice => _endpoints.Length > 1;

    public SidecarState State => _endpoints.Select(e => e.State).OrderBy(Rank).First();

    public SidecarTally Tally { get; } = new();

    /// <summary>A network by its file; one that was not known before is one of several.</summary>
    public SidecarNetwork Network(string file)
    {
        lock (_lock)
        {
            if (_networks.FirstOrDefault(n => n.File == file) is { } known)
            {
                return known;
            }

            var found = SidecarNetwork.Of(_definition, file, count: 2);
            _networks = _networks.Add(found);
            return found;
        }
    }

    /// <summary>Starts all and waits until each is ready or has failed.</summary>
    /// <exception cref="RuntimeException">None is ready; says why.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var endpoint in _endpoints)
        {
            endpoint.Start();
        }

        await Task.WhenAll(_endpoints.Select(e => e.Settled)).WaitAsync(cancellationToken).ConfigureAwait(false);
        if (TryChoose(null) is null)
        {
            throw Unavailable();
        }
    }

    /// <summary>The least busy session that takes calls; null where there is none at the moment.</summary>
    /// <param name="but">One that is not wanted if there is another.</param>
    public SidecarSession? TryChoose(SidecarSession? but)
    {
        SidecarSession? best = null;
        foreach (var endpoint in _endpoints)
        {
            if (endpoint.Session is { IsOpen: true } session
                && (best is null || best == but || (session != but && session.Load < best.Load)))
            {
                best = session;
            }
        }

        return best;
    }

    /// <summary>Enters the least busy session, once there is one. The caller leaves it.</summary>
    /// <param name="prefer">Taken if it takes calls and is not busier than others.</param>
    /// <param name="but">One that is not wanted if there is another.</param>
    /// <param name="cancellationToken">Gives up waiting.</param>
    /// <exception cref="RuntimeException">None is ready within the patience, or none will ever be; says why.</exception>
    public async ValueTask<SidecarSession> EnterAsync(SidecarSession? prefer, SidecarSession? but, CancellationToken cancellationToken)
    {
        for (var began = Time.GetTimestamp(); ;)
        {
            var changed = NextChange();
            var chosen = TryChoose(but);
            if (prefer is not null && prefer != but && prefer.Load <= chosen?.Load && prefer.TryEnter())
            {
                return prefer;
            }

            if (chosen is not null && chosen.TryEnter())
            {
                return chosen;
            }

            if (chosen is null)
            {
                await WaitAsync(changed, began, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    public SidecarStatus Status()
    {
        var state = State; // before the sessions: who is ready has one
        var sessions = _endpoints.Select(e => e.Session).OfType<SidecarSession>().ToList();
        var endpoints = _endpoints.Select(e => new SidecarEndpointStatus(e.Address, e.State, e.Pid, e.Restarts, e.Session?.Calls ?? 0, e.Limits, e.Error, e.Log)).ToList();
        var compute = _endpoints.Aggregate(TimeSpan.Zero, (sum, e) => sum + e.PastCompute + (e.Session?.Compute ?? TimeSpan.Zero));
        return new SidecarStatus
        {
            Model = _definition.Name,
            Revision = _definition.Revision,
            Transport = Transport,
            State = state,
            Product = sessions.FirstOrDefault()?.Connection.Product,
            Version = sessions.FirstOrDefault()?.Connection.VersionOf(Networks[0]),
            Endpoints = endpoints,
            Errors = Errors(),
            Counters = Tally.Counters(compute, _endpoints.Sum(e => (long)e.Restarts), sessions.Sum(s => s.Connection.Ring.Reserved), sessions.Sum(s => s.Connection.Ring.Used)),
        };
    }

    /// <summary>Why it is not, or not all of it is, as it should be.</summary>
    public IReadOnlyList<ModelError> Errors() =>
    [
        .. _endpoints.Where(e => e.State != SidecarState.Ready && e.Error is not null)
            .Select(e => new ModelError("model.yaml", "sidecar", Name(e) + e.Error) { Log = e.Log })
            .DistinctBy(e => e.Message),
    ];

    public async ValueTask DisposeAsync()
    {
        _disposed = true;
        await Task.WhenAll(_endpoints.Select(e => e.DisposeAsync().AsTask())).ConfigureAwait(false);
        Changed();
    }

    private string Transport => _definition.Sidecar!.Addresses is [var first, ..]
        ? first.Transport.ToString().ToLowerInvariant()
        : SidecarEnvironment.WantsPort(_definition.Sidecar) ? "http" : _definition.Sidecar.Transport;

    private static int Rank(SidecarState state) => state switch
    {
        SidecarState.Ready => 0,
        SidecarState.Starting => 1,
        SidecarState.Restarting => 2,
        SidecarState.Stopping => 3,
        _ => 4,
    };

    private static string Name(SidecarEndpoint endpoint) => endpoint is RemoteEndpoint ? $"{endpoint.Address}: " : "";

    private Task NextChange()
    {
        lock (_lock)
        {
            return _changed.Task;
        }
    }

    private void Changed()
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            (changed, _changed) = (_changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        changed.TrySetResult();
    }

    private async Task WaitAsync(Task changed, long began, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (State == SidecarState.Broken)
        {
            throw Unavailable();
        }

        var left = _options.Patience - Time.GetElapsedTime(began);
        if (left <= TimeSpan.Zero)
        {
            throw Unavailable();
        }

        try
        {
            // A session can close without a word from its loop, which follows a moment later.
            var most = TimeSpan.FromMilliseconds(100);
            await changed.WaitAsync(left < most ? left : most, Time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // Looked at again by the caller.
        }
    }

    private RuntimeException Unavailable()
    {
        var broken = State == SidecarState.Broken;
        var reasons = string.Join("; ", Errors().Select(e => e.Message).DefaultIfEmpty("not ready"));
        return new RuntimeException(string.Create(CultureInfo.InvariantCulture, $"the sidecar of {_definition.Name} cannot be called: {reasons}"), retryable: !broken)
        {
            Code = SidecarErrors.ConnectionLost,
        };
    }
}
