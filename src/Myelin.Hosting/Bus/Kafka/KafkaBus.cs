using System.Diagnostics;
using System.Runtime.CompilerServices;
using Confluent.Kafka;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// The bus between processes. Publishing never waits for a broker (<see cref="KafkaPublisher"/>); every subscription is
/// a consumer of its own (<see cref="KafkaSubscription"/>). Delivery is at least once: Storage decides what a message
/// still means.
/// </summary>
internal sealed partial class KafkaBus(
    KafkaPublisher publisher,
    KafkaClient client,
    KafkaTopics topics,
    KafkaNames names,
    KafkaHealth health,
    BusInstruments instruments,
    TimeProvider time,
    ILogger<KafkaBus> logger) : IBus, IAsyncDisposable
{
    private const string TraceParent = "traceparent";
    private static readonly TimeSpan s_place = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan s_placeSlowly = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan s_leave = TimeSpan.FromSeconds(5);

    /// <summary>Before each further attempt to put a message aside; then it is given up, or its partition would stand still for ever.</summary>
    private static readonly TimeSpan[] s_asideAgain = [TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(30)];

    private readonly Lock _gate = new();
    private readonly List<(SubscriptionPlan Plan, KafkaSubscription Subscription)> _subscriptions = [];

    public bool Retains => true;

    /// <summary>Partitions of each member of a group in this process.</summary>
    public IReadOnlyList<int> PartitionsOf(string group)
    {
        lock (_gate)
        {
            return [.. _subscriptions.Where(s => s.Plan.Group == group).Select(s => s.Subscription.Partitions)];
        }
    }

    public ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken)
    {
        publisher.Publish(topic, Traced(message));
        return ValueTask.CompletedTask;
    }

    public async ValueTask<Delivery> DeliverAsync(string topic, BusMessage message, CancellationToken cancellationToken)
    {
        var delivered = new TaskCompletionSource<Delivery>(TaskCreationOptions.RunContinuationsAsynchronously);
        publisher.Publish(topic, Traced(message), error => delivered.TrySetResult(Ending(error)));
        return await delivered.Task.WaitAsync(cancellationToken);
    }

    public void Prepare(string topic) => _ = topics.EnsureAsync(topic);

    /// <summary>The consumer starts here, also before the first message is asked for, and leaves with the token.</summary>
    public IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken)
    {
        var pattern = new TopicPattern(topics);
        if (group is null && !pattern.IsExact)
        {
            throw new ArgumentException($"'{topics}': a broadcast subscription reads one topic", nameof(topics));
        }

        var subscription = Join(pattern, group);
        if (group is null)
        {
            // Blocks a start for milliseconds, with no broker for seconds: what is published next must be heard.
            var began = time.GetTimestamp();
            while (!subscription.WaitPlaced(s_place) && health.IsUp && time.GetElapsedTime(began) < s_placeSlowly && !cancellationToken.IsCancellationRequested)
            {
                // Brokers are there and slow.
            }
        }

        return ReadAsync(subscription, cancellationToken.Register(subscription.Stop), cancellationToken);
    }

    /// <summary>Goes to <see cref="Topics.DeadLetters"/> with headers <c>reason</c> and <c>origin</c>, whole where it fits; done with once it is there, or was refused too often.</summary>
    public ValueTask RejectAsync(BusMessage message, string reason, CancellationToken cancellationToken)
    {
        var headers = new Dictionary<string, string>(message.Headers ?? new Dictionary<string, string>())
        {
            ["reason"] = reason.Length <= 1000 ? reason : reason[..1000],
            ["origin"] = message.Origin ?? message.Topic,
        };
        instruments.DeadLetter(message.Topic);
        PutAside(message, message with { Headers = headers }, attempt: 0);
        return ValueTask.CompletedTask;
    }

    /// <summary>Not awaited: the reader goes on. What was read while no broker answers is bounded by the readers' buffers.</summary>
    private void PutAside(BusMessage message, BusMessage letter, int attempt) => publisher.Publish(Topics.DeadLetters, letter, error =>
    {
        switch (Ending(error))
        {
            case Delivery.Held:
                message.Done();
                break;
            case Delivery.TooLarge when !letter.Payload.IsEmpty:
                // At the limit already, the reason is too much: where it came from and why is still told.
                PutAside(message, message with { Payload = default, Headers = Short(letter.Headers!, message) }, attempt);
                break;
            case Delivery.Dropped when attempt < s_asideAgain.Length && error.Code != ErrorCode.Local_Destroy:
                _ = Task.Delay(s_asideAgain[attempt], time).ContinueWith(
                    _ => PutAside(message, letter, attempt + 1), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
                break;
            case Delivery.Dropped when error.Code == ErrorCode.Local_Destroy:
                break; // the process ends: read again by whoever has the partition next
            default:
                instruments.DeadLetterLost(message.Topic);
                LogLost(letter.Headers!["origin"], letter.Headers["reason"], error.Reason);
                message.Done();
                break;
        }
    });

    public async ValueTask DisposeAsync()
    {
        // Registered under two names, so the container comes here twice.
        List<KafkaSubscription> left;
        lock (_gate)
        {
            left = [.. _subscriptions.Select(s => s.Subscription).Where(s => !s.Ended.IsCompleted)];
        }

        left.ForEach(s => s.Stop());
        await Task.WhenAny(Task.WhenAll(left.Select(s => s.Ended)), Task.Delay(s_leave, time));
    }

    private static Delivery Ending(Error error) => error switch
    {
        { IsError: false } => Delivery.Held,
        { Code: ErrorCode.MsgSizeTooLarge } => Delivery.TooLarge,
        _ => Delivery.Dropped,
    };

    private static Dictionary<string, string> Short(IReadOnlyDictionary<string, string> headers, BusMessage message) => new()
    {
        ["reason"] = headers["reason"],
        ["origin"] = headers["origin"],
        ["omitted"] = $"payload of {message.Payload.Length} bytes",
    };

    private static BusMessage Traced(BusMessage message)
    {
        if (Activity.Current is not { Id: { } id, IdFormat: ActivityIdFormat.W3C } activity || message.Headers?.ContainsKey(TraceParent) == true)
        {
            return message;
        }

        var headers = new Dictionary<string, string>(message.Headers ?? new Dictionary<string, string>()) { [TraceParent] = id };
        if (activity.TraceStateString is { Length: > 0 } state)
        {
            headers["tracestate"] = state;
        }

        return message with { Headers = headers };
    }

    private static async IAsyncEnumerable<BusMessage> ReadAsync(
        KafkaSubscription subscription, CancellationTokenRegistration stop, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var message in subscription.ReadAsync(cancellationToken))
            {
                yield return message;
            }
        }
        finally
        {
            await stop.DisposeAsync();
            subscription.Stop();
        }
    }

    private KafkaSubscription Join(TopicPattern pattern, string? group)
    {
        lock (_gate)
        {
            // The lowest free number: a member that comes back is known to the group.
            _subscriptions.RemoveAll(s => s.Subscription.Ended.IsCompleted);
            var taken = _subscriptions.Where(s => s.Plan.Group == group).Select(s => s.Plan.Member).ToHashSet();
            var plan = new SubscriptionPlan(pattern, group, Enumerable.Range(0, taken.Count + 1).First(n => !taken.Contains(n)));
            var subscription = new KafkaSubscription(plan, client, topics, names, health, instruments, time, logger);
            _subscriptions.Add((plan, subscription));
            return subscription;
        }
    }

    [LoggerMessage(LogLevel.Error, "The message at {Origin} cannot be used ({Reason}), nor put aside: {Fault}; it is passed over")]
    private partial void LogLost(string origin, string reason, string fault);
}
