using Myelin.Inference.Models;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>
/// A place where calls of one model go: a process that is started here, or an address. Each runs one loop, which alone
/// changes its state; anybody reads it. A new life is a new <see cref="SidecarSession"/>.
/// </summary>
internal abstract class SidecarEndpoint(ModelDefinition definition, Action changed) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _loop = Task.CompletedTask;
    private volatile EndpointView _view = new(SidecarState.Starting, null, null, null);

    /// <summary>Completes when it is ready, has failed for the first time, or the machine has no room for it now; what is given up later shows in <see cref="State"/>.</summary>
    public Task Settled => _settled.Task;

    public SidecarState State => _view.State;

    /// <summary>Why it is not ready, or was not the last time.</summary>
    public string? Error => _view.Error;

    /// <summary>The last lines that its process wrote before <see cref="Error"/>.</summary>
    public string? Log => _view.Log;

    /// <summary>Null while it cannot be called.</summary>
    public SidecarSession? Session => _view.Session;

    public int Restarts { get; private set; }

    /// <summary>Compute time of earlier sessions.</summary>
    public TimeSpan PastCompute { get; private set; }

    public abstract string Address { get; }

    public virtual int? Pid => null;

    public virtual string? Limits => null;

    protected ModelDefinition Definition => definition;

    protected ModelSidecar Sidecar => definition.Sidecar!;

    protected CancellationToken Stop => _stop.Token;

    public void Start() => _loop = Task.Run(RunGuardedAsync);

    /// <summary>Lets the running calls end, and then the sidecar.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        _stop.Dispose();
    }

    /// <summary>Lives until <see cref="Stop"/> is cancelled or it is given up.</summary>
    protected abstract Task RunAsync();

    protected void Become(SidecarState state, string? error, bool settled, string? log = null)
    {
        _view = new EndpointView(state, error, log, null);
        if (settled)
        {
            _settled.TrySetResult();
        }

        changed();
    }

    protected void BecomeReady(SidecarSession session)
    {
        _view = new EndpointView(SidecarState.Ready, null, null, session);
        _settled.TrySetResult();
        changed();
    }

    /// <summary>The session takes no new calls from now on.</summary>
    protected void Unpublish(SidecarSession session, SidecarState state, string? error)
    {
        _ = session.RetireAsync();
        _view = new EndpointView(state, error, null, null);
        changed();
    }

    protected void Ended(SidecarSession session) => PastCompute += session.Compute;

    protected void CountRestart() => Restarts++;

    private async Task RunGuardedAsync()
    {
        try
        {
            await RunAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            Become(SidecarState.Stopping, null, settled: true);
        }
        catch (Exception fault)
        {
            // A fault that nobody foresaw breaks this one, and says so.
            Become(SidecarState.Broken, $"supervising it failed: {fault}", settled: true);
        }
    }

    private sealed record EndpointView(SidecarState State, string? Error, string? Log, SidecarSession? Session);
}
