using Npgsql;
using NpgsqlTypes;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>Parameters that carry a column of many writes at once, and single ones with their type said.</summary>
internal static class PostgresArrays
{
    public static void AddTexts<T>(this NpgsqlParameterCollection parameters, IReadOnlyList<T> rows, Func<T, string?> column) =>
        parameters.Add(Column(rows, column, NpgsqlDbType.Text));

    public static void AddBytes<T>(this NpgsqlParameterCollection parameters, IReadOnlyList<T> rows, Func<T, byte[]?> column) =>
        parameters.Add(Column(rows, column, NpgsqlDbType.Bytea));

    public static void AddShorts<T>(this NpgsqlParameterCollection parameters, IReadOnlyList<T> rows, Func<T, short> column) =>
        parameters.Add(Column(rows, column, NpgsqlDbType.Smallint));

    public static void AddIntegers<T>(this NpgsqlParameterCollection parameters, IReadOnlyList<T> rows, Func<T, int> column) =>
        parameters.Add(Column(rows, column, NpgsqlDbType.Integer));

    public static void AddLongs<T>(this NpgsqlParameterCollection parameters, IReadOnlyList<T> rows, Func<T, long?> column) =>
        parameters.Add(Column(rows, column, NpgsqlDbType.Bigint));

    /// <summary>As whole microseconds.</summary>
    public static void AddTimes<T>(this NpgsqlParameterCollection parameters, IReadOnlyList<T> rows, Func<T, DateTimeOffset?> column) =>
        parameters.AddLongs(rows, row => Microseconds(column(row)));

    public static void AddText(this NpgsqlParameterCollection parameters, string? value) =>
        parameters.Add(new NpgsqlParameter<string?> { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Text });

    public static void AddInteger(this NpgsqlParameterCollection parameters, int value) =>
        parameters.Add(new NpgsqlParameter<int> { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Integer });

    public static void AddLong(this NpgsqlParameterCollection parameters, long? value) =>
        parameters.Add(new NpgsqlParameter<long?> { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Bigint });

    public static void AddTime(this NpgsqlParameterCollection parameters, DateTimeOffset? value) => parameters.AddLong(Microseconds(value));

    /// <summary>Empty is NULL: no column tells the two apart, but where it says so.</summary>
    public static byte[]? OrNull(this byte[] bytes) => bytes.Length == 0 ? null : bytes;

    private static long? Microseconds(DateTimeOffset? time) => time is { } value ? StoredTime.ToMicroseconds(value) : null;

    private static NpgsqlParameter<TColumn[]> Column<T, TColumn>(IReadOnlyList<T> rows, Func<T, TColumn> column, NpgsqlDbType type)
    {
        var values = new TColumn[rows.Count];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = column(rows[i]);
        }

        return new NpgsqlParameter<TColumn[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | type };
    }
}
