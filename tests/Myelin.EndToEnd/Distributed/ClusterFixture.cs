using Myelin.Client;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.EndToEnd.Distributed;

/// <summary>Two gateways, two workers, one coordinator, started once for the tests of a class; who kills one starts it again.</summary>
public sealed class ClusterFixture : IAsyncDisposable
{
    private Cluster? _cluster;

    /// <summary>Started by the first test, which is skipped where PostgreSQL or Kafka is not there.</summary>
    public async Task<Cluster> StartAsync() => _cluster ??= await Cluster.StartAsync(
        new ClusterPlan { Gateways = 2, Workers = 2, Settings = new Dictionary<string, string> { ["MYELIN_WORKER_CONCURRENCY"] = "1", ["MYELIN_WORKER_DRAIN_TIMEOUT"] = "2m" } }, CancellationToken.None);

    public ValueTask DisposeAsync() => _cluster?.DisposeAsync() ?? ValueTask.CompletedTask;
}

internal static class ClusterCalls
{
    public static MyelinClient Client(this ServerProcess process) => new(process.Http);

    /// <summary>A generation that takes about a second per twenty steps here.</summary>
    public static JobRequest Picture(int steps) => new()
    {
        Model = "emoji-diffusion",
        Parameters = System.Text.Json.JsonSerializer.SerializeToElement(new { prompt = "red apple", steps }),
    };

    public static JobSubmission Faces() => new("faces")
    {
        Files = [new JobFile("image", File.OpenRead(Path.Combine(Shared.Root, "samples", "portrait.jpg")), "image/jpeg")],
    };

    /// <summary>Waits until the job runs and has made <paramref name="step"/> steps.</summary>
    public static async Task<Job> StepAsync(this MyelinClient client, string id, int step, CancellationToken cancellationToken)
    {
        await foreach (var update in client.EventsAsync(id, cancellationToken))
        {
            if (update.Job.Progress?.Step >= step || update.Job.State.IsEnd())
            {
                return update.Job;
            }
        }

        throw new InvalidOperationException($"the events of {id} ended without an end");
    }
}
