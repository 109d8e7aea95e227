using Myelin.Hosting.Bus;

namespace Myelin.Serving.Models;

/// <summary>Prepares the topics of every model's jobs as models come, so that the first job of one finds its readers there.</summary>
internal sealed class ModelTopics(ModelRepository models, IBus bus, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            using var timer = new PeriodicTimer(s_interval, time);
            do
            {
                foreach (var model in models.List())
                {
                    Array.ForEach(Enum.GetValues<JobPriority>(), priority => bus.Prepare(Topics.Jobs(model.Name, priority)));
                }
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown.
        }
    }
}
