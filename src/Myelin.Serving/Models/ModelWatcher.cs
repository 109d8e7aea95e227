using Myelin.Hosting.Configuration;

namespace Myelin.Serving.Models;

/// <summary>
/// Looks at the model folders every two seconds and takes in what changed. Polls, because change notices do not
/// cross network volumes and run out of handles; a scan reads a handful of directory entries.
/// </summary>
internal sealed partial class ModelWatcher(ModelRepository models, MyelinOptions options, TimeProvider time, ILogger<ModelWatcher> log) : BackgroundService
{
    /// <summary>At the end: longer than disposal of any model that nobody uses takes.</summary>
    private static readonly TimeSpan s_unload = TimeSpan.FromSeconds(5);

    private volatile bool _warm;

    /// <summary>Beside the looks: a start that takes long holds up none of them.</summary>
    private Task _again = Task.CompletedTask;

    /// <summary>
    /// Why models are not to be counted on here; null where they are. One of several workers gets work once it has tried to
    /// load every model; a server alone takes jobs from the first moment, they wait for their model as they would for a permit.
    /// </summary>
    public string? Unready()
    {
        if (!options.Runs(Role.Worker))
        {
            return null;
        }

        var all = models.List();
        if (!_warm && options.Topology != Topology.Alone)
        {
            return $"still loading, {all.Count(m => m.State == ModelState.Ready)} of {all.Count} are ready";
        }

        return all.Count > 0 && all.All(m => m.State == ModelState.Broken) ? $"none of {all.Count} can run; GET /v1/models tells why" : null;
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(models.Folder);
        models.Rescan(settle: false);
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(2), time);
        try
        {
            await TryAsync(changed: true, stoppingToken);
            _warm = true;
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await TryAsync(changed: false, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            await models.UnloadAllAsync(s_unload);
        }
    }

    private async Task TryAsync(bool changed, CancellationToken cancellationToken)
    {
        try
        {
            // Only where models run: a gateway checks folders and starts nothing.
            if ((changed || models.Rescan(settle: true)) && options.Runs(Role.Worker))
            {
                await models.WarmAsync(cancellationToken);
            }

            if (_again.IsCompleted && options.Runs(Role.Worker))
            {
                await _again;
                _again = models.WarmAgainAsync(options.Sidecars.MaxRestartDelay, cancellationToken);
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // Such as a folder that vanished between two looks; the next look sees it whole.
            LogScanFailed(log, e);
        }
    }

    [LoggerMessage(LogLevel.Warning, "could not read the model folders; looking again in two seconds")]
    private static partial void LogScanFailed(ILogger log, Exception e);
}
