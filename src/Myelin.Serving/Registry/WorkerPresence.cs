using Myelin.Hosting.Configuration;
using Myelin.Serving.Models;

namespace Myelin.Serving.Registry;

/// <summary>
/// Keeps this worker's row: written whole when its models change, renewed three times per <c>worker.lease</c>, marked
/// from the first word of a shutdown. What cannot be written is tried again at the next look; a row that ran out
/// meanwhile only means that gateways pass this worker over until then.
/// </summary>
internal sealed partial class WorkerPresence(
    IWorkerStore store,
    WorkerIdentity identity,
    ModelRepository models,
    ModelLoader loader,
    WorkerLoad load,
    WorkerListener listener,
    MyelinOptions options,
    IHostApplicationLifetime lifetime,
    TimeProvider time,
    ILogger<WorkerPresence> logger) : BackgroundService
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_deregister = TimeSpan.FromSeconds(2);

    private readonly DateTimeOffset _startedAt = time.GetUtcNow();
    private readonly SemaphoreSlim _speaking = new(1);
    private byte[] _written = [];

    /// <summary>Above that of any life before.</summary>
    private long _revision = time.GetUtcNow().UtcTicks;
    private long _spokeAt;
    private bool _draining;

    /// <summary>Looks what is new, and writes what there is to say.</summary>
    public async Task SpeakAsync(CancellationToken cancellationToken)
    {
        await _speaking.WaitAsync(cancellationToken);
        try
        {
            await WriteAsync(cancellationToken);
        }
        finally
        {
            _speaking.Release();
        }
    }

    public override void Dispose()
    {
        _speaking.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var stopping = lifetime.ApplicationStopping.Register(() => _ = DeregisterAsync());
        try
        {
            using var timer = new PeriodicTimer(s_look, time);
            do
            {
                await TryAsync(stoppingToken);
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    private async Task WriteAsync(CancellationToken cancellationToken)
    {
        var shown = models.List().Select(m => Steady(ModelView.Of(m, loader))).ToList();
        var bytes = WorkerModelsJson.Write(shown);
        var draining = lifetime.ApplicationStopping.IsCancellationRequested;
        if (!bytes.AsSpan().SequenceEqual(_written))
        {
            await store.RegisterAsync(Row(draining) with { Models = shown, Revision = ++_revision }, cancellationToken);
            (_written, _spokeAt, _draining) = (bytes, time.GetTimestamp(), draining);
            await store.ForgetAsync(time.GetUtcNow() - options.Worker.Remember, cancellationToken);
        }
        else if (draining != _draining || time.GetElapsedTime(_spokeAt) >= options.Worker.Lease / 3)
        {
            if (!await store.BeatAsync(Row(draining), cancellationToken))
            {
                _written = []; // somebody forgot it: the whole row at the next look
            }

            (_spokeAt, _draining) = (time.GetTimestamp(), draining);
        }
    }

    private async Task DeregisterAsync()
    {
        using var late = new CancellationTokenSource(s_deregister, time);
        await TryAsync(late.Token);
    }

    private async Task TryAsync(CancellationToken cancellationToken)
    {
        try
        {
            await SpeakAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The next look, or nobody's any more.
        }
        catch (Exception e)
        {
            LogNotStored(e);
        }
    }

    /// <summary>Without what changes by the call, or every look would write.</summary>
    private static Model Steady(Model model) => model.Runtime is not { Processes.Count: > 0 } runtime
        ? model
        : model with { Runtime = runtime with { Processes = [.. runtime.Processes.Select(p => p with { Calls = 0 })] } };

    private WorkerRow Row(bool draining)
    {
        var now = time.GetUtcNow();
        return new WorkerRow
        {
            Id = identity.Id,
            Host = identity.Host,
            Address = listener.Address,
            Socket = listener.Socket,
            Capacity = load.Capacity,
            Running = load.Running(),
            Draining = draining,
            StartedAt = _startedAt,
            SeenAt = now,
            ExpiresAt = now + options.Worker.Lease,
            Revision = _revision,
        };
    }

    [LoggerMessage(LogLevel.Warning, "This worker's registration could not be stored; gateways pass it over until it is")]
    private partial void LogNotStored(Exception e);
}
