using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Hosting.Bus.Postgres;

/// <summary>
/// The bus between processes that share a database and no broker: what <see cref="EmbeddedBus"/> does inside the process,
/// and NOTIFY for the others. Signals, cancels and hints of jobs cross over; every process gets each hint, and Storage
/// decides who claims the job. Nothing is kept: what a process missed while its line was down it finds in Storage.
/// </summary>
/// <remarks>
/// A notification holds 8,000 bytes and comes to everybody in the order of commits. What is larger (previews) and other
/// topics (frames, dead letters) stay in the process that published them.
/// </remarks>
internal sealed partial class PostgresBus : IBus, IAsyncDisposable
{
    /// <summary>One statement, one commit for as many as wait.</summary>
    private const int LargestBatch = 256;

    /// <summary>PostgreSQL refuses 8,000 and more.</summary>
    private const int LargestNotice = 7_999;

    private const int QueueLength = 8_192;

    /// <summary>A notification begins with who sent it.</summary>
    private const int SenderLength = 12;

    /// <summary>Larger ones are not even tried: base64 takes a third more. Previews stay here, and that is no failure.</summary>
    private const int LargestPayload = LargestNotice * 3 / 4;

    // The schema keeps installations in one database apart; by its hash, because a channel's name has at most 63 bytes.
    private const string Channel = "'myelin:' || md5(current_schema())";

    private static readonly TimeSpan s_firstRetry = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longestRetry = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_leave = TimeSpan.FromSeconds(2);

    private readonly string _self = Guid.NewGuid().ToString("N")[..SenderLength];
    private readonly Channel<Outgoing> _outgoing = System.Threading.Channels.Channel.CreateBounded<Outgoing>(new BoundedChannelOptions(QueueLength) { SingleReader = true });
    private readonly Channel<Notice> _incoming = System.Threading.Channels.Channel.CreateBounded<Notice>(new BoundedChannelOptions(QueueLength) { SingleReader = true });
    private readonly CancellationTokenSource _stop = new();
    private readonly EmbeddedBus _here;
    private readonly NpgsqlDataSource _source;
    private readonly BusInstruments _instruments;
    private readonly TimeProvider _time;
    private readonly ILogger<PostgresBus> _logger;
    private readonly Task _sending;
    private readonly Task _listening;
    private readonly Task _delivering;
    private volatile bool _up;
    private bool _sends = true;

    public PostgresBus(EmbeddedBus here, PostgresSettings settings, BusInstruments instruments, TimeProvider time, ILogger<PostgresBus> logger)
    {
        (_here, _instruments, _time, _logger, _source) = (here, instruments, time, logger, PostgresSources.Notices(settings));
        instruments.ObserveHealth(() => IsListening);
        _sending = Task.Run(() => UntilStoppedAsync(SendAsync));
        _listening = Task.Run(() => UntilStoppedAsync(ListenAsync));
        _delivering = Task.Run(() => UntilStoppedAsync(DeliverAsync));
    }

    public bool Retains => false;

    /// <summary>Whether what others publish from now on is heard.</summary>
    public bool IsListening => _up;

    /// <summary>Ends only with the bus, or by a fault that is ours.</summary>
    public Task Ended => Task.WhenAll(_sending, _listening, _delivering);

    public ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken)
    {
        if (Topics.ConcernsJobs(topic) && message.Payload.Length <= LargestPayload)
        {
            Send(topic, message);
        }

        return _here.PublishAsync(topic, message, cancellationToken);
    }

    public async ValueTask<Delivery> DeliverAsync(string topic, BusMessage message, CancellationToken cancellationToken)
    {
        await PublishAsync(topic, message, cancellationToken);
        return Delivery.Held;
    }

    public void Prepare(string topic) => _here.Prepare(topic);

    public IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken) =>
        _here.SubscribeAsync(topics, group, cancellationToken);

    public ValueTask RejectAsync(BusMessage message, string reason, CancellationToken cancellationToken) => _here.RejectAsync(message, reason, cancellationToken);

    /// <summary>What was published is sent first, if that takes no longer than two seconds.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_outgoing.Writer.TryComplete())
        {
            return;
        }

        await _sending.WaitAsync(s_leave, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _stop.CancelAsync();
        await _sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _listening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _delivering.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _source.DisposeAsync();
        _stop.Dispose();
    }

    private void Send(string topic, BusMessage message)
    {
        var text = _self + JsonSerializer.Serialize(new Notice(topic, message.Payload, message.Key, message.Headers), NoticesJson.Default.Notice);
        _instruments.Handed();
        if (Encoding.UTF8.GetByteCount(text) > LargestNotice)
        {
            _instruments.Failed(topic, "too_large");
        }
        else if (!_outgoing.Writer.TryWrite(new Outgoing(topic, text)))
        {
            _instruments.Failed(topic, "full");
        }
    }

    private async Task UntilStoppedAsync(Func<Task> loop)
    {
        try
        {
            await loop();
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    /// <summary>What waits goes out together; a batch that did not go out is tried again unless it never will, what comes meanwhile waits or is dropped.</summary>
    private async Task SendAsync()
    {
        var batch = new List<Outgoing>(LargestBatch);
        while (await _outgoing.Reader.WaitToReadAsync(_stop.Token))
        {
            batch.Clear();
            while (batch.Count < LargestBatch && _outgoing.Reader.TryRead(out var next))
            {
                batch.Add(next);
            }

            for (var failures = 0; !await TrySendAsync(batch);)
            {
                await Task.Delay(Backoff.After(s_firstRetry, ++failures, s_longestRetry), _time, _stop.Token);
            }
        }
    }

    private async Task<bool> TrySendAsync(List<Outgoing> batch)
    {
        try
        {
            await using var command = _source.CreateCommand($"SELECT pg_notify({Channel}, notice) FROM unnest($1) WITH ORDINALITY AS sent(notice, place) ORDER BY place");
            command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = [.. batch.Select(m => m.Text)] });
            await command.ExecuteNonQueryAsync(_stop.Token);
            _sends = true;
            batch.ForEach(sent => _instruments.Published(sent.Topic));
            return true;
        }
        catch (Exception fault) when (PostgresFaults.IsFault(fault))
        {
            if (_sends)
            {
                LogNotSent(fault.Message);
            }

            _sends = false;
            if (PostgresFaults.KindOf(fault) != FaultKind.Refused)
            {
                return false;
            }

            // The same again would be refused again, and everything behind it would wait.
            batch.ForEach(sent => _instruments.Failed(sent.Topic, "refused"));
            return true;
        }
    }

    private async Task ListenAsync()
    {
        for (var failures = 0; !_stop.IsCancellationRequested;)
        {
            try
            {
                await ReceiveAsync();
            }
            catch (Exception fault) when (PostgresFaults.IsFault(fault))
            {
                if (_up || failures == 0)
                {
                    LogDeaf(fault.Message);
                }

                failures = _up ? 1 : failures + 1;
                _up = false;
                await Task.Delay(Backoff.After(s_firstRetry, failures, s_longestRetry), _time, _stop.Token);
            }
        }
    }

    private async Task ReceiveAsync()
    {
        await using var connection = await _source.OpenConnectionAsync(_stop.Token);
        connection.Notification += (_, notification) => Take(notification.Payload); // now and then on the driver's own thread
        await using (var name = new NpgsqlCommand($"SELECT quote_ident({Channel})", connection))
        {
            await using var listen = new NpgsqlCommand($"LISTEN {await name.ExecuteScalarAsync(_stop.Token)}", connection);
            await listen.ExecuteNonQueryAsync(_stop.Token);
        }

        _up = true;
        LogListening();
        while (true)
        {
            await connection.WaitAsync(_stop.Token);
        }
    }

    /// <summary>Never waits: who does not read the line holds up the database's queue for every process.</summary>
    private void Take(string text)
    {
        // What this process published comes back to it, and has long been handed on.
        if (text.StartsWith(_self, StringComparison.Ordinal) || Read(text) is not { } notice)
        {
            return;
        }

        _instruments.Received("broadcast");
        if (!_incoming.Writer.TryWrite(notice))
        {
            _instruments.Deleted("broadcast", notice.Topic, 1); // found in Storage, as what came while nobody listened
        }
    }

    /// <summary>What others published, to the readers here: they may be slow.</summary>
    private async Task DeliverAsync()
    {
        await foreach (var notice in _incoming.Reader.ReadAllAsync(_stop.Token))
        {
            await _here.PublishAsync(notice.Topic, new BusMessage(notice.Topic, notice.Key, notice.Payload, notice.Headers), _stop.Token);
        }
    }

    /// <summary>Null for what another program sent to the channel.</summary>
    private Notice? Read(string text)
    {
        try
        {
            return JsonSerializer.Deserialize(text.AsSpan(Math.Min(SenderLength, text.Length)), NoticesJson.Default.Notice) is { } notice && Topics.ConcernsJobs(notice.Topic) ? notice : null;
        }
        catch (JsonException fault)
        {
            LogUnreadable(fault.Message);
            return null;
        }
    }

    [LoggerMessage(LogLevel.Information, "Messages of other processes on this database are heard")]
    private partial void LogListening();

    [LoggerMessage(LogLevel.Warning, "Messages of other processes are not heard until PostgreSQL answers; jobs start within seconds instead of at once: {Reason}")]
    private partial void LogDeaf(string reason);

    [LoggerMessage(LogLevel.Warning, "Messages to other processes are not sent; they find their jobs in storage, seconds later: {Reason}")]
    private partial void LogNotSent(string reason);

    [LoggerMessage(LogLevel.Warning, "A notification that is none of ours: {Reason}")]
    private partial void LogUnreadable(string reason);

    private readonly record struct Outgoing(string Topic, string Text);
}
