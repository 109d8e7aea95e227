using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Work;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>Jobs in a reader's rows, and the text of their columns as statements need it.</summary>
internal static class PostgresJobs
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
}
