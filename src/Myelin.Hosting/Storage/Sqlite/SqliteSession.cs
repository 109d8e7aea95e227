using Myelin.Hosting.Configuration;
using SQLitePCL;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>
/// One connection and its prepared statements, straight on SQLite's C interface: a row costs microseconds, where the
/// ADO.NET layer costs tens. Used by one thread at a time.
/// </summary>
internal sealed class SqliteSession : IDisposable
{
    /// <summary>SQLITE_STMTSTATUS_VM_STEP.</summary>
    private const int VirtualMachineSteps = 4;

    private readonly sqlite3 _connection;
    private readonly SqliteStatements _statements;

    static SqliteSession() => Batteries_V2.Init();

    private SqliteSession(sqlite3 connection, Action<int> kept) => (_connection, _statements) = (connection, new SqliteStatements(Compile, kept));

    /// <summary>True while a transaction is open; SQLite closes one by itself on some faults (full disk).</summary>
    public bool InTransaction => raw.sqlite3_get_autocommit(_connection) == 0;

    /// <summary>Rows changed by the last statement.</summary>
    public int Changes => raw.sqlite3_changes(_connection);

    /// <summary>Key of the row inserted last.</summary>
    public long LastRowId => raw.sqlite3_last_insert_rowid(_connection);

    /// <param name="path">The database's file.</param>
    /// <param name="writer">False: it only reads.</param>
    /// <param name="kept">Told of every prepared statement that is kept or let go.</param>
    public static SqliteSession Open(string path, bool writer, Action<int> kept)
    {
        if (writer)
        {
            MakePrivate(path);
        }

        const int flags = raw.SQLITE_OPEN_READWRITE | raw.SQLITE_OPEN_CREATE | raw.SQLITE_OPEN_NOMUTEX;
        var code = raw.sqlite3_open_v2(path, out var connection, flags, null);
        var session = new SqliteSession(connection, kept);
        try
        {
            session.Check(code, "open " + path);
            raw.sqlite3_extended_result_codes(connection, 1);
            raw.sqlite3_busy_timeout(connection, 5000);
            session.Execute("PRAGMA journal_mode = WAL");

            // FULL: a commit is on the platter before its caller hears of it. 4,000 pages between checkpoints keep
            // their stalls rare; the journal's file shrinks back to 64 MiB.
            session.Execute(writer
                ? "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864"
                : "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000");
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Steps of SQLite's machine so far: what statements have cost, whatever the machine's load.</summary>
    public long Steps => _statements.All.Sum(static s => (long)raw.sqlite3_stmt_status(s, VirtualMachineSteps, 0));

    /// <summary>Runs statements without parameters or rows.</summary>
    public void Execute(string sql) => Check(raw.sqlite3_exec(_connection, sql), sql);

    /// <summary>A cursor on a statement that is kept: values are bound, never written into <paramref name="sql"/>.</summary>
    public SqliteCursor Prepare(string sql) => new(this, _statements.Get(sql));

    public void Check(int code, string doing)
    {
        if (code is not (raw.SQLITE_OK or raw.SQLITE_ROW or raw.SQLITE_DONE))
        {
            throw Fault(code, doing);
        }
    }

    public void Dispose()
    {
        _statements.Dispose();
        _connection.Dispose();
    }

    /// <summary>The journal and its index take their modes from the database.</summary>
    private static void MakePrivate(string path)
    {
        foreach (var old in (string[])[path, path + "-wal", path + "-shm"])
        {
            DataFolder.Tighten(old);
        }

        try
        {
            new FileStream(path, DataFolder.Private(new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write })).Dispose();
        }
        catch (IOException)
        {
            // It is there, or SQLite will say why it cannot be.
        }
    }

    private sqlite3_stmt Compile(string sql)
    {
        Check(raw.sqlite3_prepare_v3(_connection, sql, raw.SQLITE_PREPARE_PERSISTENT, out var statement), sql);
        return statement;
    }

    private StorageException Fault(int code, string doing)
    {
        var message = $"{raw.sqlite3_errmsg(_connection).utf8_to_string()} (SQLite {code}) at: {doing}";
        return (code & 0xff) is raw.SQLITE_FULL or raw.SQLITE_IOERR or raw.SQLITE_CANTOPEN
            ? new StorageFullException(message, code)
            : new StorageException(message, code);
    }
}
