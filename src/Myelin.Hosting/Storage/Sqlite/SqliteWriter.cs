using System.Threading.Channels;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>
/// The only writer of the database: a thread that owns one connection, takes every operation that waits, runs them in
/// one transaction, commits once and then answers all (group commit). While one commit waits for the disk the next
/// batch gathers, so that a single fsync serves many callers. When an operation fails the batch is rolled back and each
/// runs alone: a bad one harms nobody.
/// </summary>
internal sealed class SqliteWriter : IAsyncDisposable
{
    private const int QueueLength = 8192;
    private const int BatchSize = 1024;

    private readonly Channel<SqliteOperation> _queue = Channel.CreateBounded<SqliteOperation>(
        new BoundedChannelOptions(QueueLength) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly Func<SqliteSession> _open;
    private readonly Thread _thread;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SqliteSession? _session;
    private volatile bool _abandoned;

    public SqliteWriter(SqliteSession session, Func<SqliteSession> open)
    {
        (_session, _open) = (session, open);
        _thread = new Thread(Loop) { IsBackground = true, Name = "myelin-storage" };
    }

    /// <summary>Called on the writer's thread after each commit with the operations it carried.</summary>
    public Action<int> Committed { get; set; } = _ => { };

    /// <summary>Called on the writer's thread when a batch came to nothing: undo what operations changed in memory.</summary>
    public Action RolledBack { get; set; } = () => { };

    /// <summary>Ends with the writer: with its fault where it broke.</summary>
    public Task Ended => _ended.Task;

    public void Start() => _thread.Start();

    /// <summary>Runs <paramref name="work"/> in a transaction; returns once it is durable.</summary>
    /// <exception cref="StorageFullException">No space; nothing was stored.</exception>
    /// <exception cref="StorageClosedException">The database is closed and the work never began; nothing was stored.</exception>
    /// <exception cref="StorageUnavailableException">The writer broke while it was under way; it may have been stored.</exception>
    public async Task<T> RunAsync<T>(Func<SqliteSession, T> work, CancellationToken cancellationToken)
    {
        var operation = new SqliteOperation<T>(work, cancellationToken);
        if (!_queue.Writer.TryWrite(operation))
        {
            try
            {
                await _queue.Writer.WriteAsync(operation, cancellationToken);
            }
            catch (ChannelClosedException)
            {
                throw new StorageClosedException();
            }
        }

        return await operation.Task;
    }

    /// <summary>Stops without finishing what waits, as a crash would; for tests.</summary>
    public ValueTask AbandonAsync()
    {
        _abandoned = true;
        return DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _ended.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // who watches it hears of a fault
    }

    private void Loop()
    {
        var batch = new List<SqliteOperation>(BatchSize);
        Exception? fault = null;
        try
        {
            Run(batch);
        }
        catch (Exception e)
        {
            fault = e;
        }

        // Whoever waits is told, and whoever comes later finds it closed.
        _queue.Writer.TryComplete();
        batch.ForEach(operation => operation.Fail(new StorageUnavailableException("the writer broke while this was under way: it may have been stored", fault)));
        while (_queue.Reader.TryRead(out var operation))
        {
            operation.Fail(new StorageClosedException(fault));
        }

        _session?.Dispose();
        if (fault is null)
        {
            _ended.SetResult();
        }
        else
        {
            _ended.SetException(fault);
        }
    }

    private void Run(List<SqliteOperation> batch)
    {
        while (!_abandoned && _queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (batch.Count < BatchSize && _queue.Reader.TryRead(out var operation))
            {
                batch.Add(operation);
            }

            RunBatch(batch);
            batch.Clear();
        }
    }

    private void RunBatch(List<SqliteOperation> batch)
    {
        if (TryCommit(batch, out var fault))
        {
            return;
        }

        if (batch.Count == 1)
        {
            batch[0].Fail(fault!);
            return;
        }

        var single = new List<SqliteOperation>(1);
        foreach (var operation in batch)
        {
            single.Clear();
            single.Add(operation);
            RunBatch(single);
        }
    }

    private bool TryCommit(List<SqliteOperation> batch, out Exception? fault)
    {
        fault = null;
        try
        {
            _session ??= _open();
            _session.Execute("BEGIN IMMEDIATE");
            foreach (var operation in batch)
            {
                operation.Run(_session);
            }

            _session.Execute("COMMIT");
        }
        catch (Exception e)
        {
            fault = e;
            Rollback(e);
            return false;
        }

        Committed(batch.Count);
        foreach (var operation in batch)
        {
            operation.Complete();
        }

        return true;
    }

    private void Rollback(Exception fault)
    {
        RolledBack();
        var broken = fault is StorageException { IsDamage: true };
        try
        {
            if (_session is { InTransaction: true })
            {
                _session.Execute("ROLLBACK");
            }
        }
        catch (StorageException)
        {
            broken = true;
        }

        // After a failed write or fsync what the connection believes about the file may be wrong: start afresh.
        if (broken)
        {
            _session?.Dispose();
            _session = null;
        }
    }
}
