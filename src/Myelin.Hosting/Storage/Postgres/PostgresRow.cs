using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>A reader's current row.</summary>
internal readonly struct PostgresRow(NpgsqlDataReader row) : IRow
{
    public bool IsNull(int column) => row.IsDBNull(column);

    public bool Flag(int column) => row.GetBoolean(column);

    public int Int32(int column) => row.GetInt32(column);

    public long Int64(int column) => row.GetInt64(column);

    public string Text(int column) => row.GetString(column);

    public ReadOnlySpan<byte> Bytes(int column) => Copy(column);

    public byte[] Copy(int column) => row.IsDBNull(column) ? [] : row.GetFieldValue<byte[]>(column);
}
