using Confluent.Kafka;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>Where a subscription stands: the place of a broadcast reader, and how far behind a member is.</summary>
internal sealed partial class KafkaSubscription
{
    private static readonly TimeSpan s_ask = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_sample = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_newPartitions = TimeSpan.FromSeconds(30);

    private readonly Dictionary<TopicPartition, long> _positions = [];
    private readonly Dictionary<string, long> _shown = [];
    private long _sampled;
    private long _looked;

    /// <summary>
    /// A broadcast reader starts at the end of every partition; one that broke goes on where it was, and a partition
    /// added later is read from its start.
    /// </summary>
    private void Place(IConsumer<byte[]?, byte[]?> consumer)
    {
        while (!_stop.Task.IsCompleted)
        {
            try
            {
                var first = _positions.Count == 0;
                var partitions = _topics.Partitions(_plan.Topics.Text, s_ask);
                foreach (var partition in partitions.Where(p => !_positions.ContainsKey(p)))
                {
                    _positions[partition] = first ? consumer.QueryWatermarkOffsets(partition, s_ask).High.Value : 0;
                }

                if (partitions.Count > 0)
                {
                    consumer.Assign(_positions.Select(p => new TopicPartitionOffset(p.Key, p.Value)));
                    _looked = _time.GetTimestamp();
                    _placed.TrySetResult();
                    _health.Up();
                    return;
                }
            }
            catch (KafkaException e)
            {
                _health.Heard(e.Error);
            }

            _stop.Task.Wait(s_poll);
        }
    }

    /// <summary>Now and then: the lag for the metrics, and new partitions of a broadcast topic.</summary>
    private void Sample(IConsumer<byte[]?, byte[]?> consumer)
    {
        if (_sampled != 0 && _time.GetElapsedTime(_sampled) < s_sample)
        {
            return;
        }

        _sampled = _time.GetTimestamp();
        if (_plan.Group is null && _time.GetElapsedTime(_looked) > s_newPartitions && _health.IsUp)
        {
            Place(consumer);
        }

        _shown.Clear();
        try
        {
            foreach (var partition in consumer.Assignment)
            {
                var topic = _names.Logical(partition.Topic);
                _shown[topic] = _shown.GetValueOrDefault(topic) + Lag(consumer, partition);
            }

            _instruments.Lag(_plan.Label, _plan.Member, new Dictionary<string, long>(_shown));
        }
        catch (KafkaException e)
        {
            // A broker is away: the last reading stands.
            _health.Heard(e.Error);
        }
    }

    /// <summary>
    /// Messages that the brokers deleted (too old, partition full) before they were read. A gap alone means nothing, markers
    /// of transactions leave some too: the beginning of the partition decides.
    /// </summary>
    private void CountDeleted(IConsumer<byte[]?, byte[]?> consumer, TopicPartition partition, OffsetLedger? ledger, long offset)
    {
        try
        {
            var expected = ledger is null ? _positions.GetValueOrDefault(partition, -1)
                : ledger.Next >= 0 ? ledger.Next
                : consumer.Committed([partition], s_ask)[0].Offset.Value;
            if (expected < 0 || offset <= expected + 1)
            {
                return;
            }

            var deleted = Math.Min(consumer.QueryWatermarkOffsets(partition, s_ask).Low.Value, offset) - expected;
            if (deleted > 0)
            {
                _instruments.Deleted(_plan.Label, _names.Logical(partition.Topic), deleted);
                LogDeleted(deleted, partition, _plan.Label);
            }
        }
        catch (KafkaException e)
        {
            // No answer in time: the message itself is worth more than the count.
            _health.Heard(e.Error);
        }
    }

    private long Lag(IConsumer<byte[]?, byte[]?> consumer, TopicPartition partition)
    {
        // Fetches bring the end of a partition along; nothing is fetched while paused.
        var end = _paused && _health.IsUp ? consumer.QueryWatermarkOffsets(partition, s_ask) : consumer.GetWatermarkOffsets(partition);
        if (end.High == Offset.Unset)
        {
            return 0;
        }

        var position = _ledgers.GetValueOrDefault(partition)?.Position is { } known and >= 0 ? known : _positions.GetValueOrDefault(partition, -1);
        if (position < 0)
        {
            // Nothing was read here yet: where the group left it.
            var stored = consumer.Committed([partition], s_ask)[0].Offset;
            position = stored.Value >= 0 ? stored.Value : Math.Max(end.Low.Value, 0);
            _positions[partition] = position;
        }

        return Math.Max(end.High.Value - position, 0);
    }
}
