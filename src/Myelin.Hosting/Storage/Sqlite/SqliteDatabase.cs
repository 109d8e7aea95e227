using System.Runtime.CompilerServices;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>
/// The database of one data folder: its lock, its migrations, one writer with group commit, a few readers. Any
/// capability keeps its tables here: a migration file, and statements run through <see cref="WriteAsync"/> and
/// <see cref="ReadAsync"/>.
/// </summary>
internal sealed class SqliteDatabase : IAsyncDisposable
{
    private const int Readers = 4;
    private const int LongReaders = 2;

    private readonly DataLock _lock;
    private readonly SqliteReaders _readers;
    private readonly SqliteReaders _long;
    private readonly StrongBox<int> _statements;
    private bool _disposed;

    private SqliteDatabase(DataLock dataLock, SqliteWriter writer, SqliteReaders readers, SqliteReaders longReaders, StrongBox<int> statements) =>
        (_lock, Writer, _readers, _long, _statements) = (dataLock, writer, readers, longReaders, statements);

    /// <summary>Prepared statements kept, over all connections.</summary>
    public int Statements => Volatile.Read(ref _statements.Value);

    public SqliteWriter Writer { get; }

    /// <summary>Opens or creates <c>myelin.db</c> in <paramref name="folder"/> and brings its tables up to date.</summary>
    /// <param name="folder">The data folder; only this process may use it.</param>
    /// <param name="time">Dates the migrations.</param>
    /// <param name="notice">Told when an old database is about to be changed.</param>
    /// <param name="prepare">Runs on the writer's connection before the writer starts: rebuild what is kept in memory.</param>
    /// <exception cref="IOException">Another process uses the folder.</exception>
    /// <exception cref="StorageException">The file is damaged, or made by a newer version.</exception>
    public static SqliteDatabase Open(string folder, TimeProvider time, Action<string> notice, Action<SqliteSession> prepare)
    {
        DataFolder.Make(folder);
        var dataLock = DataLock.Take(folder);
        SqliteSession? session = null;
        try
        {
            var path = Path.Combine(folder, "myelin.db");
            var statements = new StrongBox<int>();
            SqliteSession Connect(bool writes) => SqliteSession.Open(path, writes, change => Interlocked.Add(ref statements.Value, change));
            session = Connect(writes: true);
            Migrations.Run(session, time, notice);
            prepare(session);
            var writer = new SqliteWriter(session, () => Connect(writes: true));
            var readers = new SqliteReaders(Readers, () => Connect(writes: false));
            var longReaders = new SqliteReaders(LongReaders, () => Connect(writes: false));
            return new SqliteDatabase(dataLock, writer, readers, longReaders, statements);
        }
        catch
        {
            session?.Dispose();
            dataLock.Dispose();
            throw;
        }
    }

    /// <summary>Runs <paramref name="work"/> in a transaction shared with other callers; returns once durable. It may run twice: no side effects.</summary>
    public Task<T> WriteAsync<T>(Func<SqliteSession, T> work, CancellationToken cancellationToken) => Writer.RunAsync(work, cancellationToken);

    /// <summary>A read of a row or a few: every request needs some.</summary>
    public ValueTask<T> ReadAsync<T>(Func<SqliteSession, T> work, CancellationToken cancellationToken) => _readers.RunAsync(work, cancellationToken);

    /// <summary>A read of many rows, on connections of its own: it makes other such reads wait, and nobody else.</summary>
    public ValueTask<T> ReadLongAsync<T>(Func<SqliteSession, T> work, CancellationToken cancellationToken) => _long.RunAsync(work, cancellationToken);

    /// <summary>Finishes what waits, then closes.</summary>
    public ValueTask DisposeAsync() => CloseAsync(Writer.DisposeAsync);

    /// <summary>Lets go of the file as a crash would: what waits is not stored. For tests.</summary>
    public ValueTask AbandonAsync() => CloseAsync(Writer.AbandonAsync);

    private async ValueTask CloseAsync(Func<ValueTask> closeWriter)
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        await closeWriter();
        await _readers.DisposeAsync();
        await _long.DisposeAsync();
        _lock.Dispose();
    }
}
