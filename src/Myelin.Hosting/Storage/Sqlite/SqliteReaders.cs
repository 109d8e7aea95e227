using System.Threading.Channels;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>A few reading connections, handed out first come, first served; a read never waits for a write (WAL).</summary>
internal sealed class SqliteReaders : IAsyncDisposable
{
    private readonly Channel<SqliteSession?> _free;
    private readonly Func<SqliteSession> _open;
    private readonly int _count;

    public SqliteReaders(int count, Func<SqliteSession> open)
    {
        (_count, _open) = (count, open);
        _free = Channel.CreateBounded<SqliteSession?>(count);
        for (var i = 0; i < count; i++)
        {
            // Null = a place without a connection yet.
            _free.Writer.TryWrite(null);
        }
    }

    /// <summary>Runs <paramref name="work"/> on the caller's thread: point reads cost microseconds.</summary>
    public async ValueTask<T> RunAsync<T>(Func<SqliteSession, T> work, CancellationToken cancellationToken)
    {
        SqliteSession? session;
        try
        {
            session = await _free.Reader.ReadAsync(cancellationToken);
        }
        catch (ChannelClosedException)
        {
            throw new StorageClosedException();
        }

        try
        {
            session ??= _open();
            return work(session);
        }
        catch (StorageException)
        {
            session?.Dispose();
            session = null;
            throw;
        }
        finally
        {
            if (!_free.Writer.TryWrite(session))
            {
                session?.Dispose();
            }
        }
    }

    /// <summary>Waits for reads under way, then closes.</summary>
    public async ValueTask DisposeAsync()
    {
        for (var i = 0; i < _count && await _free.Reader.WaitToReadAsync(); i++)
        {
            if (_free.Reader.TryRead(out var session))
            {
                session?.Dispose();
            }
        }

        _free.Writer.TryComplete();
    }
}
