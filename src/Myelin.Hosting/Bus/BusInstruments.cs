using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Myelin.Hosting.Telemetry;

namespace Myelin.Hosting.Bus;

/// <summary>Counters of a bus between processes. Tags: topics (three per model and the fixed ones), groups, the client's error names.</summary>
internal sealed class BusInstruments : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _published;
    private readonly Counter<long> _failures;
    private readonly Counter<long> _received;
    private readonly Counter<long> _rebalances;
    private readonly Counter<long> _deadLetters;
    private readonly Counter<long> _deadLettersLost;
    private readonly Counter<long> _deleted;
    private readonly ConcurrentDictionary<(string Group, int Member), IReadOnlyDictionary<string, long>> _lag = new();
    private readonly ConcurrentDictionary<(string Group, int Member), bool> _paused = new();
    private long _buffered;

    public BusInstruments(IMeterFactory factory)
    {
        _meter = factory.Create(MetricsPage.MeterName);
        _published = _meter.CreateCounter<long>("myelin.bus.published", "{message}", "Messages that the brokers or the database took, by topic.");
        _failures = _meter.CreateCounter<long>("myelin.bus.publish_failures", "{message}", "Messages dropped: the broker was away too long, the buffer full, the message too large.");
        _received = _meter.CreateCounter<long>("myelin.bus.received", "{message}", "Messages read, by group.");
        _rebalances = _meter.CreateCounter<long>("myelin.bus.rebalances", "{rebalance}", "Changes of this process's partitions, by group.");
        _deadLetters = _meter.CreateCounter<long>("myelin.bus.dead_letters", "{message}", "Messages put aside because nobody could use them, by topic.");
        _deadLettersLost = _meter.CreateCounter<long>("myelin.bus.dead_letters_lost", "{message}", "Messages that nobody could use and no broker took as dead letters either, by topic: passed over.");
        _deleted = _meter.CreateCounter<long>("myelin.bus.deleted_unread", "{message}", "Messages that brokers deleted, for age or size, before this process read them, by group and topic.");
        _meter.CreateObservableGauge("myelin.bus.buffered", () => Interlocked.Read(ref _buffered), "{message}", "Messages that wait for an acknowledgement.");
        _meter.CreateObservableGauge("myelin.bus.lag", Lags, "{message}", "Messages on this process's partitions that are not done with, by group and topic.");
        _meter.CreateObservableGauge("myelin.bus.paused", Paused, "{member}", "Members that stopped reading because this process is busy enough, by group.");
    }

    public void Handed() => Interlocked.Increment(ref _buffered);

    public void Published(string topic)
    {
        Interlocked.Decrement(ref _buffered);
        _published.Add(1, new KeyValuePair<string, object?>("topic", topic));
    }

    public void Failed(string topic, string reason)
    {
        Interlocked.Decrement(ref _buffered);
        _failures.Add(1, new("topic", topic), new("reason", reason));
    }

    public void Received(string group) => _received.Add(1, new KeyValuePair<string, object?>("group", group));

    public void Rebalanced(string group) => _rebalances.Add(1, new KeyValuePair<string, object?>("group", group));

    public void DeadLetter(string topic) => _deadLetters.Add(1, new KeyValuePair<string, object?>("topic", topic));

    public void DeadLetterLost(string topic) => _deadLettersLost.Add(1, new KeyValuePair<string, object?>("topic", topic));

    public void Deleted(string group, string topic, long messages) => _deleted.Add(messages, new("group", group), new("topic", topic));

    /// <param name="lag">By topic; replaces what this member said before.</param>
    public void Lag(string group, int member, IReadOnlyDictionary<string, long> lag) => _lag[(group, member)] = lag;

    public void Pause(string group, int member, bool paused) => _paused[(group, member)] = paused;

    public void Forget(string group, int member)
    {
        _lag.TryRemove((group, member), out _);
        _paused.TryRemove((group, member), out _);
    }

    /// <summary>Shows whether a broker answers; once.</summary>
    public void ObserveHealth(Func<bool> isUp) =>
        _meter.CreateObservableGauge("myelin.bus.connected", () => isUp() ? 1 : 0, "{connection}", "1 while brokers, or the database, answer.");

    public void Dispose() => _meter.Dispose();

    private IEnumerable<Measurement<long>> Lags() => _lag
        .SelectMany(member => member.Value.Select(topic => (member.Key.Group, Topic: topic.Key, Lag: topic.Value)))
        .GroupBy(l => (l.Group, l.Topic))
        .Select(l => new Measurement<long>(l.Sum(m => m.Lag), new("group", l.Key.Group), new("topic", l.Key.Topic)));

    private IEnumerable<Measurement<int>> Paused() => _paused
        .GroupBy(p => p.Key.Group)
        .Select(p => new Measurement<int>(p.Count(m => m.Value), new KeyValuePair<string, object?>("group", p.Key)));
}
