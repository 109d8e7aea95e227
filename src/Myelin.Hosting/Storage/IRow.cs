namespace Myelin.Hosting.Storage;

/// <summary>A row of an answer by its columns' numbers, whatever database gave it.</summary>
internal interface IRow
{
    bool IsNull(int column);

    bool Flag(int column);

    int Int32(int column);

    long Int64(int column);

    string Text(int column);

    /// <summary>Empty for NULL. Valid until the next row.</summary>
    ReadOnlySpan<byte> Bytes(int column);

    /// <summary>Empty for NULL.</summary>
    byte[] Copy(int column);
}

/// <summary>What every row can tell from the above.</summary>
internal static class RowColumns
{
    public static string? TextOrNull<TRow>(this TRow row, int column) where TRow : IRow, allows ref struct => row.IsNull(column) ? null : row.Text(column);

    public static DateTimeOffset Time<TRow>(this TRow row, int column) where TRow : IRow, allows ref struct => StoredTime.FromMicroseconds(row.Int64(column));

    public static DateTimeOffset? TimeOrNull<TRow>(this TRow row, int column) where TRow : IRow, allows ref struct => row.IsNull(column) ? null : row.Time(column);
}
