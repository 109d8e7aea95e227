using SQLitePCL;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>One use of a prepared statement: bind, step, read; disposing makes it ready for the next use.</summary>
internal readonly ref struct SqliteCursor(SqliteSession session, sqlite3_stmt statement) : IRow
{
    public void Bind(int index, long value) => session.Check(raw.sqlite3_bind_int64(statement, index, value), "bind");

    public void Bind(int index, DateTimeOffset value) => Bind(index, StoredTime.ToMicroseconds(value));

    public void Bind(int index, DateTimeOffset? value)
    {
        if (value is { } time)
        {
            Bind(index, time);
        }
        else
        {
            BindNull(index);
        }
    }

    public void Bind(int index, string? value)
    {
        if (value is null)
        {
            BindNull(index);
        }
        else
        {
            session.Check(raw.sqlite3_bind_text(statement, index, value), "bind");
        }
    }

    /// <summary>Empty is NULL: no column tells the two apart.</summary>
    public void Bind(int index, ReadOnlySpan<byte> value)
    {
        if (value.IsEmpty)
        {
            BindNull(index);
        }
        else
        {
            session.Check(raw.sqlite3_bind_blob(statement, index, value), "bind");
        }
    }

    /// <summary>Empty stays empty: for columns that are never NULL.</summary>
    public void BindBlob(int index, ReadOnlySpan<byte> value) => session.Check(
        value.IsEmpty ? raw.sqlite3_bind_zeroblob(statement, index, 0) : raw.sqlite3_bind_blob(statement, index, value), "bind");

    public void BindNull(int index) => session.Check(raw.sqlite3_bind_null(statement, index), "bind");

    /// <summary>True when there is a row to read.</summary>
    public bool Step()
    {
        var code = raw.sqlite3_step(statement);
        if (code is not (raw.SQLITE_ROW or raw.SQLITE_DONE))
        {
            // The faults' texts are the connection's: read before the reset that Dispose makes.
            session.Check(code, raw.sqlite3_sql(statement).utf8_to_string());
        }

        return code == raw.SQLITE_ROW;
    }

    /// <summary>Runs a statement that gives no rows; returns how many it changed.</summary>
    public int Run()
    {
        while (Step())
        {
        }

        return session.Changes;
    }

    public bool IsNull(int column) => raw.sqlite3_column_type(statement, column) == raw.SQLITE_NULL;

    public long Int64(int column) => raw.sqlite3_column_int64(statement, column);

    public int Int32(int column) => raw.sqlite3_column_int(statement, column);

    public bool Flag(int column) => Int32(column) != 0;

    public string Text(int column) => raw.sqlite3_column_text(statement, column).utf8_to_string();

    public ReadOnlySpan<byte> Bytes(int column) => raw.sqlite3_column_blob(statement, column);

    public byte[] Copy(int column) => Bytes(column).ToArray();

    public void Dispose()
    {
        // Both repeat the last step's fault, which has been thrown already.
        _ = raw.sqlite3_reset(statement);
        _ = raw.sqlite3_clear_bindings(statement);
    }
}
