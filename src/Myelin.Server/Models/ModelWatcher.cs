using Myelin.Server.Configuration;

namespace Myelin.Server.Models;

/// <summary>
/// Looks at the model folders every two seconds and takes in what changed. Polls, because change notices do not
/// cross network volumes and run out of handles; a scan reads a handful of directory entries.
/// </summary>
internal sealed partial class ModelWatcher(ModelRepository models, MyelinOptions options, TimeProvider time, ILogger<ModelWatcher> log) : BackgroundService
{
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
            await WarmAsync(stoppingToken);
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    if (models.Rescan(settle: true))
                    {
                        await WarmAsync(stoppingToken);
                    }
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // A folder vanished between two looks; the next look sees it whole.
                    LogScanFailed(log, e);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            models.UnloadAll();
        }
    }

    /// <summary>Only where models run: a gateway checks folders and starts nothing.</summary>
    private Task WarmAsync(CancellationToken cancellationToken) => options.Runs("worker") ? models.WarmAsync(cancellationToken) : Task.CompletedTask;

    [LoggerMessage(LogLevel.Warning, "could not read the model folders; looking again in two seconds")]
    private static partial void LogScanFailed(ILogger log, Exception e);
}
