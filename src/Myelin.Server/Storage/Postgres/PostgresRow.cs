using Myelin.Server.Jobs;
using Npgsql;

namespace Myelin.Server.Storage.Postgres;

/// <summary>A reader's current row; jobs in it, and the text of their columns as statements need it.</summary>
internal readonly struct PostgresRow(NpgsqlDataReader row) : IRow
{
    /// <summary>The columns of a job in a table or CTE that is called <c>j</c>.</summary>
    public static readonly string Columns = string.Join(", ", JobColumns.Names.Split(", ").Select(c => "j." + c));

    /// <param name="row">Begins with <see cref="Columns"/>.</param>
    public static JobRecord Read(NpgsqlDataReader row) => JobRow.Read(new PostgresRow(row));

    public static HeldLease ReadLease(NpgsqlDataReader row) => JobRow.ReadLease(new PostgresRow(row));

    public static JobHint ReadHint(NpgsqlDataReader row) => JobRow.ReadHint(new PostgresRow(row));

    /// <summary>Every row of the current result, then on to the next.</summary>
    public static async Task<List<JobRecord>> ReadAllAsync(NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        var jobs = new List<JobRecord>();
        while (await reader.ReadAsync(cancellationToken))
        {
            jobs.Add(Read(reader));
        }

        await reader.NextResultAsync(cancellationToken);
        return jobs;
    }

    public bool IsNull(int column) => row.IsDBNull(column);

    public bool Flag(int column) => row.GetBoolean(column);

    public int Int32(int column) => row.GetInt32(column);

    public long Int64(int column) => row.GetInt64(column);

    public string Text(int column) => row.GetString(column);

    public ReadOnlySpan<byte> Bytes(int column) => Copy(column);

    public byte[] Copy(int column) => row.IsDBNull(column) ? [] : row.GetFieldValue<byte[]>(column);
}
