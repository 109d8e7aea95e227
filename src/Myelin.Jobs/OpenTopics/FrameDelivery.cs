using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;

namespace Myelin.Jobs.OpenTopics;

/// <summary>
/// Puts a frame's answer where it belongs, and only then is done with the frame. While no broker takes it, it is tried
/// again: the lane behind it waits. What the bus never takes for its size is left out and named.
/// </summary>
internal sealed class FrameDelivery(IBus bus, StreamInstruments instruments, MyelinOptions options, TimeProvider time)
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    public async Task RunAsync(BusMessage frame, FrameAnswer answer, CancellationToken cancellationToken)
    {
        var (sent, omitted) = (new List<string>(), new List<string>());
        foreach (var picture in answer.Pictures)
        {
            (await FitsAsync(picture, cancellationToken) ? sent : omitted).Add(picture.Header(OpenMessage.Name) ?? "");
        }

        var (result, outcome) = (answer.Result.With(OpenMessage.Pictures, sent).With(OpenMessage.Omitted, omitted), answer.Outcome);
        if (!await FitsAsync(result, cancellationToken))
        {
            (result, outcome) = (TooLarge(result), FrameOutcome.Failed);
            await FitsAsync(result, cancellationToken);
        }

        instruments.Ended(answer.Stream, outcome);
        if (outcome == FrameOutcome.Processed && frame.Captured() is { } captured)
        {
            instruments.Answered(answer.Stream, time.GetUtcNow() - captured);
        }

        frame.Done();
    }

    /// <returns>False where the bus never takes it.</returns>
    private async ValueTask<bool> FitsAsync(BusMessage message, CancellationToken cancellationToken)
    {
        while (true)
        {
            switch (await bus.DeliverAsync(message.Topic, message, cancellationToken))
            {
                case Delivery.Held:
                    return true;
                case Delivery.TooLarge:
                    instruments.Omitted(message.Topic);
                    return false;
                default:
                    await Task.Delay(s_again, time, cancellationToken);
                    break;
            }
        }
    }

    private BusMessage TooLarge(BusMessage result)
    {
        var problem = Problems.Of(
            ProblemTypes.TooLarge,
            $"the result has {result.Payload.Length} bytes, more than the bus takes ({options.Bus.Kafka.MaxMessageBytes}, bus.kafka.maxMessageBytes, or less where the topic says so); submit such pictures as jobs");
        return result.As(Problem.ContentType, OpenMessage.Json(problem));
    }
}
