using System.Threading.Channels;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>
/// The writer of one process: a loop that owns one connection, takes every write that waits, sends them in one round
/// trip and one transaction, and answers all after its commit (group commit). While one batch is under way the next one
/// gathers. When a statement is refused the batch is undone and each write goes alone: a bad one harms nobody. When the
/// database goes away the writes wait for it as long as the settings say and are sent again: each kind of write knows its
/// own work when its first answer was lost. With nothing to do it reads the depths and the clock, twice a second.
/// </summary>
internal sealed partial class PostgresWriter : IAsyncDisposable
{
    private const int QueueLength = 8192;
    private const int BatchSize = 1024;
    private const string UnderWay = "the storage was closed, or its writer broke, while this was under way: it may have been stored";
    private static readonly TimeSpan s_refresh = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromMilliseconds(500);

    private readonly Channel<PostgresWrite> _queue = Channel.CreateBounded<PostgresWrite>(
        new BoundedChannelOptions(QueueLength) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly PostgresBatch _batch;
    private readonly TimeSpan _patience;
    private readonly TimeProvider _time;
    private readonly StorageInstruments _instruments;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _abandoned = new();
    private readonly List<PostgresWrite> _carried = [];
    private Task<bool>? _waiting;
    private Task _loop = Task.CompletedTask;
    private bool _lost;
    private long _answered;

    public PostgresWriter(PostgresBatch batch, TimeSpan patience, TimeProvider time, StorageInstruments instruments, ILogger logger) =>
        (_batch, _patience, _time, _instruments, _logger) = (batch, patience, time, instruments, logger);

    /// <summary>Reads depths and clock for the first time, then starts the loop.</summary>
    /// <exception cref="StorageException">The database went away again.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _batch.CommitAsync([], cancellationToken);
        }
        catch (Exception e) when (PostgresFaults.IsFault(e))
        {
            throw PostgresFaults.ToStorage(e);
        }

        Volatile.Write(ref _answered, _time.GetTimestamp());
        _loop = Task.Run(LoopAsync, CancellationToken.None);
    }

    /// <summary>Ends with the writer: with its fault where it broke.</summary>
    public Task Ended => _loop;

    /// <summary>
    /// Why nothing can be stored now; null while it can. The loop asks the database twice a second: a longer silence than
    /// calls wait for it means that they fail.
    /// </summary>
    public string? Away => _time.GetElapsedTime(Volatile.Read(ref _answered)) is var silence && silence > _patience + s_refresh + s_longestPause
        ? $"PostgreSQL has not answered for {silence.TotalSeconds:0} s"
        : null;

    /// <summary>Queues the write; returns its answer once it is durable.</summary>
    /// <exception cref="StorageUnavailableException">The database stayed away, or this writer ended under way; the write may have been stored.</exception>
    /// <exception cref="StorageClosedException">The storage is closed and the write was never sent; nothing was stored.</exception>
    public async Task<T> RunAsync<T>(PostgresWrite<T> write, CancellationToken cancellationToken)
    {
        write.Since = _time.GetTimestamp();
        if (!_queue.Writer.TryWrite(write))
        {
            try
            {
                await _queue.Writer.WriteAsync(write, cancellationToken);
            }
            catch (ChannelClosedException)
            {
                throw new StorageClosedException();
            }
        }

        return await write.Task;
    }

    /// <summary>Stops without finishing what waits, as a crash would; for tests.</summary>
    public async ValueTask AbandonAsync()
    {
        await _abandoned.CancelAsync();
        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _loop.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // who watches it hears of a fault
        await _batch.DisposeAsync();
        _abandoned.Dispose();
    }

    private async Task LoopAsync()
    {
        var writes = new List<PostgresWrite>(BatchSize);
        var pause = s_firstPause;
        try
        {
            while (await NextAsync(writes))
            {
                if (await RunBatchAsync(writes))
                {
                    pause = s_firstPause;
                }
                else
                {
                    await Task.Delay(pause, _time, _abandoned.Token);
                    pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
                }

                writes.Clear();
            }
        }
        catch (OperationCanceledException) when (_abandoned.IsCancellationRequested)
        {
            // As a crash would.
        }
        finally
        {
            // Whoever waits is told, and whoever comes later finds it closed; also where the loop broke.
            _queue.Writer.TryComplete();
            while (_queue.Reader.TryRead(out var write))
            {
                _carried.Add(write);
            }

            // The batch under way, and what was sent before: perhaps stored. The rest never left this process.
            writes.ForEach(write => write.Fail(new StorageUnavailableException(UnderWay)));
            _carried.ForEach(write => write.Fail(new StorageClosedException()));
        }
    }

    /// <summary>Gathers the next batch, empty when nothing came in time; false when the storage is closed and all is done.</summary>
    private async Task<bool> NextAsync(List<PostgresWrite> writes)
    {
        if (_carried.Count == 0 && !_queue.Reader.TryPeek(out _))
        {
            // One wait at a time, kept over the refreshes in between.
            _waiting ??= _queue.Reader.WaitToReadAsync(_abandoned.Token).AsTask();
            try
            {
                var open = await _waiting.WaitAsync(s_refresh, _time);
                _waiting = null;
                if (!open)
                {
                    return false;
                }
            }
            catch (TimeoutException)
            {
                return true;
            }
        }

        Fill(writes);
        return true;
    }

    private void Fill(List<PostgresWrite> writes)
    {
        var taken = new HashSet<(PostgresStatement, object)>();
        var carried = _carried.ToArray();
        _carried.Clear();
        foreach (var write in carried)
        {
            Take(write);
        }

        // What is carried over stays short: a job that is written to over and over must not fill the memory.
        while (writes.Count < BatchSize && _carried.Count < BatchSize && _queue.Reader.TryRead(out var write))
        {
            Take(write);
        }

        void Take(PostgresWrite write)
        {
            if (write.TryCancel())
            {
                return;
            }

            (writes.Count < BatchSize && taken.Add((write.Statement, write.Statement.IdentityOf(write))) ? writes : _carried).Add(write);
        }
    }

    /// <summary>Sends the batch and answers it; false where the database is away and a pause is due.</summary>
    private async Task<bool> RunBatchAsync(IReadOnlyList<PostgresWrite> writes)
    {
        try
        {
            await _batch.CommitAsync(writes, _abandoned.Token);
            Found();
            return true;
        }
        catch (Exception e) when (PostgresFaults.IsFault(e))
        {
            return await ForgiveAsync(writes, e);
        }
        catch (Exception e) when (!_abandoned.IsCancellationRequested)
        {
            // A value that no database could take or give: told to whom it concerns.
            MarkSent(writes, await _batch.ResetAsync());
            return await AloneAsync(writes, e, blocked: false);
        }
    }

    private async Task<bool> ForgiveAsync(IReadOnlyList<PostgresWrite> writes, Exception fault)
    {
        var kind = PostgresFaults.KindOf(fault);
        switch (kind)
        {
            case FaultKind.Lost:
                await LoseAsync(writes, fault);
                return false;
            case FaultKind.Again:
                Carry(writes, fault);
                return true;
            default:
                return await AloneAsync(writes, PostgresFaults.ToStorage(fault), kind == FaultKind.Blocked);
        }
    }

    /// <summary>
    /// Each write in a transaction of its own; the one that is at fault hears of it. Where they are blocked that takes
    /// long, and those that have waited for too long fail with it.
    /// </summary>
    private async Task<bool> AloneAsync(IReadOnlyList<PostgresWrite> writes, Exception fault, bool blocked)
    {
        if (writes.Count == 1)
        {
            writes[0].Fail(fault);
            return true;
        }

        var found = true;
        foreach (var write in writes)
        {
            if (blocked && _time.GetElapsedTime(write.Since) >= _patience)
            {
                write.Fail(fault);
            }
            else if (found)
            {
                found = await RunBatchAsync([write]);
            }
            else
            {
                Carry([write], new StorageUnavailableException("the connection was lost before its turn"));
            }
        }

        return found;
    }

    private async Task LoseAsync(IReadOnlyList<PostgresWrite> writes, Exception fault)
    {
        if (!_lost)
        {
            _lost = true;
            LogLost(PostgresFaults.ToStorage(fault).Message);
        }

        _instruments.ConnectionLost();
        MarkSent(writes, await _batch.ResetAsync());
        Carry(writes, fault);
    }

    private static void MarkSent(IReadOnlyList<PostgresWrite> writes, bool sent)
    {
        foreach (var write in writes)
        {
            write.Repeated |= sent;
        }
    }

    /// <summary>Back in front of the line, unless a write has waited for too long.</summary>
    private void Carry(IReadOnlyList<PostgresWrite> writes, Exception fault)
    {
        var index = 0;
        foreach (var write in writes)
        {
            if (_time.GetElapsedTime(write.Since) < _patience)
            {
                _carried.Insert(index++, write);
            }
            else
            {
                write.Fail(fault as StorageException ?? PostgresFaults.ToStorage(fault));
            }
        }
    }

    private void Found()
    {
        Volatile.Write(ref _answered, _time.GetTimestamp());
        if (_lost)
        {
            _lost = false;
            LogFound();
        }
    }

    [LoggerMessage(LogLevel.Warning, "Storage is away; calls wait for it: {Reason}")]
    private partial void LogLost(string reason);

    [LoggerMessage(LogLevel.Information, "Storage is back")]
    private partial void LogFound();
}
