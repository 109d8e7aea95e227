using System.Threading.Channels;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Health;

namespace Myelin.Jobs.OpenTopics;

/// <summary>
/// Jobs that come by Kafka. Messages with one key are accepted one after the other, others side by side: a lane per hash
/// of the key. A full queue or a full disk is no answer here: the lane waits, the topic keeps what comes, and its lag
/// shows it. A message is done with once its answer is on the topic.
/// </summary>
internal sealed class JobsTopic(JobsTopicIntake intake, IBus bus, IHostApplicationLifetime lifetime) : BackgroundService
{
    private const string Group = "jobs-in";
    private const int Lanes = 8;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        bus.Prepare(Topics.JobsOut);
        await Task.Yield();
        using var taking = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        var lanes = Enumerable.Range(0, Lanes).Select(_ => Channel.CreateBounded<BusMessage>(1)).ToArray();
        Task[] loops = [ReadAsync(lanes, taking.Token), .. lanes.Select(lane => PumpAsync(lane.Reader, taking.Token))];
        try
        {
            await Loops.TogetherAsync(loops);
        }
        catch (OperationCanceledException) when (taking.IsCancellationRequested)
        {
            // Shutdown: what has no answer yet comes again.
            await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task ReadAsync(Channel<BusMessage>[] lanes, CancellationToken cancellationToken)
    {
        await foreach (var message in bus.SubscribeAsync(Topics.JobsIn, Group, cancellationToken).WithCancellation(cancellationToken))
        {
            var hash = string.GetHashCode(message.Key ?? message.Origin ?? "", StringComparison.Ordinal);
            await lanes[(uint)hash % Lanes].Writer.WriteAsync(message, cancellationToken);
        }
    }

    private async Task PumpAsync(ChannelReader<BusMessage> messages, CancellationToken cancellationToken)
    {
        await foreach (var message in messages.ReadAllAsync(cancellationToken))
        {
            await intake.TakeAsync(message, cancellationToken);
        }
    }
}
