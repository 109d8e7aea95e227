using Confluent.Kafka;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>What a subscription is for.</summary>
/// <param name="Group">Null reads everything from now on, in no group.</param>
/// <param name="Member">Number among this process's members of the group.</param>
internal sealed record SubscriptionPlan(TopicPattern Topics, string? Group, int Member)
{
    /// <summary>The group's name in metrics.</summary>
    public string Label => Group ?? "broadcast";
}

/// <summary>
/// One consumer on a thread of its own: polls, keeps its place in the group, and fills the buffer that the reader
/// empties. While the buffer is full its partitions are paused and polling goes on, so that the group does not take it
/// for dead. A consumer that broke for good is made anew; one whose name another process uses goes on without a name.
/// </summary>
internal sealed partial class KafkaSubscription
{
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_pollFull = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    private readonly SubscriptionPlan _plan;
    private readonly KafkaClient _client;
    private readonly KafkaTopics _topics;
    private readonly KafkaNames _names;
    private readonly KafkaHealth _health;
    private readonly BusInstruments _instruments;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly MessageBuffer _buffer = new();
    private readonly TaskCompletionSource _stop = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _placed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Dictionary<TopicPartition, OffsetLedger> _ledgers = [];
    private bool _paused;
    private bool _changed;
    private bool _fenced;

    public KafkaSubscription(
        SubscriptionPlan plan, KafkaClient client, KafkaTopics topics, KafkaNames names, KafkaHealth health, BusInstruments instruments, TimeProvider time, ILogger logger)
    {
        (_plan, _client, _topics, _names, _health, _instruments, _time, _logger) = (plan, client, topics, names, health, instruments, time, logger);
        if (plan.Topics.IsExact)
        {
            _ = topics.EnsureAsync(plan.Topics.Text);
        }

        new Thread(Run) { IsBackground = true, Name = $"kafka {plan.Label}" }.Start();
    }

    /// <summary>Completes once the consumer has left.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Partitions that this member reads now.</summary>
    public int Partitions { get; private set; }

    /// <summary>Waits until a broadcast reader's place is fixed, so that nothing published from then on is missed.</summary>
    public bool WaitPlaced(TimeSpan timeout) => _placed.Task.Wait(timeout);

    public IAsyncEnumerable<BusMessage> ReadAsync(CancellationToken cancellationToken) => _buffer.ReadAsync(cancellationToken);

    public void Stop() => _stop.TrySetResult();

    private void Run()
    {
        while (!_stop.Task.IsCompleted)
        {
            try
            {
                using var consumer = Build();
                Start(consumer);
                Poll(consumer);
                CloseLedgers([.. _ledgers.Keys]);
                consumer.Close();
            }
            catch (KafkaException e)
            {
                _fenced |= e.Error.Code is ErrorCode.FencedInstanceId or ErrorCode.Local_Fenced;
                CloseLedgers([.. _ledgers.Keys]);
                LogBroke(_plan.Label, e.Error.Reason, e);
                _stop.Task.Wait(s_again);
            }
            catch (Exception e)
            {
                // The thread's last line of defence: the next consumer starts where the group stored.
                CloseLedgers([.. _ledgers.Keys]);
                LogBroke(_plan.Label, e.Message, e);
                _stop.Task.Wait(s_again);
            }
        }

        _instruments.Forget(_plan.Label, _plan.Member);
        _buffer.Complete();
        _ended.TrySetResult();
    }

    private IConsumer<byte[]?, byte[]?> Build()
    {
        var instance = _plan.Group is { } group && !_fenced ? _names.Member(group, _plan.Member) : null;
        var builder = new ConsumerBuilder<byte[]?, byte[]?>(_client.Consumer(_names.Group(_plan.Label), instance))
            .SetErrorHandler((_, error) => _health.Heard(error))
            .SetLogHandler((_, message) => _health.Heard(message));
        return _plan.Group is null
            ? builder.Build()
            : builder.SetPartitionsAssignedHandler(Assigned).SetPartitionsRevokedHandler(Revoked).SetPartitionsLostHandler(Revoked).Build();
    }

    private void Start(IConsumer<byte[]?, byte[]?> consumer)
    {
        (_paused, _changed) = (false, true);
        if (_plan.Group is null)
        {
            Place(consumer);
        }
        else
        {
            consumer.Subscribe(_names.Subscription(_plan.Topics));
        }
    }

    private void Poll(IConsumer<byte[]?, byte[]?> consumer)
    {
        while (!_stop.Task.IsCompleted)
        {
            Throttle(consumer);
            Sample(consumer);
            ConsumeResult<byte[]?, byte[]?>? read;
            try
            {
                read = consumer.Consume(_paused ? s_pollFull : s_poll);
            }
            catch (ConsumeException e) when (!e.Error.IsFatal)
            {
                // Such as a topic that is not there yet; the client tries again by itself.
                _health.Heard(e.Error);
                continue;
            }

            if (read is { IsPartitionEOF: false })
            {
                _health.Up();
                _instruments.Received(_plan.Label);
                Take(consumer, read);
            }
        }
    }

    private void Take(IConsumer<byte[]?, byte[]?> consumer, ConsumeResult<byte[]?, byte[]?> read)
    {
        var ledger = _ledgers.GetValueOrDefault(read.TopicPartition);
        var offset = read.Offset.Value;
        CountDeleted(consumer, read.TopicPartition, ledger, offset);
        ledger?.Deliver(offset);
        _positions[read.TopicPartition] = offset + 1;
        var message = new BusMessage(
            _names.Logical(read.Topic),
            KafkaKeys.Text(read.Message.Key),
            read.Message.Value,
            KafkaHeaders.Read(read.Message.Headers))
        {
            Origin = $"{read.Topic}/{read.Partition.Value}/{offset}",
            Settle = ledger is null ? null : () => ledger.Settle(offset),
        };
        _buffer.Add(message, ledger);
    }

    /// <summary>Pauses what is assigned while the buffer is full, also what came since; resumes at half.</summary>
    private void Throttle(IConsumer<byte[]?, byte[]?> consumer)
    {
        if (_paused ? _buffer.HasRoom : !_buffer.IsFull)
        {
            if (_paused)
            {
                consumer.Resume(consumer.Assignment);
                _paused = false;
                _instruments.Pause(_plan.Label, _plan.Member, paused: false);
            }
        }
        else if (!_paused || _changed)
        {
            consumer.Pause(consumer.Assignment);
            _paused = true;
            _instruments.Pause(_plan.Label, _plan.Member, paused: true);
        }

        if (_changed)
        {
            _changed = false;
            Partitions = consumer.Assignment.Count;
        }
    }

    private void Assigned(IConsumer<byte[]?, byte[]?> consumer, List<TopicPartition> partitions)
    {
        _changed = true;
        _instruments.Rebalanced(_plan.Label);
        foreach (var partition in partitions)
        {
            _ledgers[partition] = new OffsetLedger(next => Store(consumer, partition, next));
        }
    }

    /// <summary>Stored positions are committed by the client as the partitions go.</summary>
    private void Revoked(IConsumer<byte[]?, byte[]?> consumer, List<TopicPartitionOffset> partitions)
    {
        _changed = true;
        _instruments.Rebalanced(_plan.Label);
        CloseLedgers([.. partitions.Select(p => p.TopicPartition)]);
    }

    private void CloseLedgers(IReadOnlyCollection<TopicPartition> partitions)
    {
        foreach (var partition in partitions)
        {
            if (_ledgers.Remove(partition, out var ledger))
            {
                ledger.Close();
            }

            if (_plan.Group is not null)
            {
                _positions.Remove(partition);
            }
        }
    }

    private static void Store(IConsumer<byte[]?, byte[]?> consumer, TopicPartition partition, long next)
    {
        try
        {
            consumer.StoreOffset(new TopicPartitionOffset(partition, next));
        }
        catch (Exception e) when (e is KafkaException or ObjectDisposedException)
        {
            // The partition went just now: its next owner reads the message again.
        }
    }

    [LoggerMessage(LogLevel.Warning, "{Count} messages of {Partition} were deleted before {Group} had read them: it was away or behind for longer than they are kept")]
    private partial void LogDeleted(long count, TopicPartition partition, string group);

    [LoggerMessage(LogLevel.Warning, "The Kafka consumer of {Group} broke and is made anew: {Reason}")]
    private partial void LogBroke(string group, string reason, Exception e);
}
