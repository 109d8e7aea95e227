using System.Threading.Channels;
using Myelin.Server.Bus;
using Myelin.Server.Configuration;

namespace Myelin.Server.Streams;

/// <summary>
/// Jobs that come by Kafka. Messages with one key are accepted one after the other, others side by side: a lane per hash
/// of the key. A full queue or a full disk is no answer here: the lane waits, the topic keeps what comes, and its lag
/// shows it. A message is done with once its answer is on the topic.
/// </summary>
internal sealed class JobsTopic(JobsTopicIntake intake, IBus bus, MyelinOptions options) : BackgroundService
{
    private const string Group = "jobs-in";
    private const int Lanes = 8;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!options.OpenTopics.Jobs)
        {
            return;
        }

        bus.Prepare(Topics.JobsOut);
        await Task.Yield();
        var lanes = Enumerable.Range(0, Lanes).Select(_ => Channel.CreateBounded<BusMessage>(1)).ToArray();
        var pumps = lanes.Select(lane => PumpAsync(lane.Reader, stoppingToken)).ToList();
        try
        {
            await foreach (var message in bus.SubscribeAsync(Topics.JobsIn, Group, stoppingToken).WithCancellation(stoppingToken))
            {
                var hash = string.GetHashCode(message.Key ?? message.Origin ?? "", StringComparison.Ordinal);
                await lanes[(uint)hash % Lanes].Writer.WriteAsync(message, stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown: what has no answer yet comes again.
        }

        Array.ForEach(lanes, lane => lane.Writer.TryComplete());
        await Task.WhenAll(pumps);
    }

    private async Task PumpAsync(ChannelReader<BusMessage> messages, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var message in messages.ReadAllAsync(cancellationToken))
            {
                await intake.TakeAsync(message, cancellationToken);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Shutdown.
        }
    }
}
