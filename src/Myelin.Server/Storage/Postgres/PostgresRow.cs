using Myelin.Server.Jobs;
using Npgsql;

namespace Myelin.Server.Storage.Postgres;

/// <summary>Reads rows of jobs; the text of their columns as statements need it.</summary>
internal static class PostgresRow
{
    /// <summary>The columns of a job in a table or CTE that is called <c>j</c>.</summary>
    public static readonly string Columns = string.Join(", ", JobColumns.Names.Split(", ").Select(c => "j." + c));

    /// <param name="row">Begins with <see cref="Columns"/>.</param>
    public static JobRecord Read(NpgsqlDataReader row) => new()
    {
        Sequence = row.GetInt64(0),
        Id = row.GetString(1),
        Tenant = row.GetString(2),
        Model = row.GetString(3),
        Priority = (JobPriority)row.GetInt16(4),
        State = (JobState)row.GetInt16(5),
        Attempt = row.GetInt32(6),
        Failures = row.GetInt32(7),
        EventId = row.GetInt64(8),
        CancelRequested = row.GetBoolean(9),
        Purged = row.GetBoolean(10),
        CreatedAt = StoredTime.FromMicroseconds(row.GetInt64(11)),
        NotBefore = row.TimeOrNull(12),
        Deadline = row.TimeOrNull(13),
        StartedAt = row.TimeOrNull(14),
        EndedAt = row.TimeOrNull(15),
        ExpiresAt = row.TimeOrNull(16),
        LeaseUntil = row.TimeOrNull(17),
        LeaseToken = row.TextOrNull(18),
        Worker = row.TextOrNull(19),
        Key = row.TextOrNull(20),
        IdempotencyKey = row.TextOrNull(21),
        BodyHash = row.TextOrNull(22),
        TraceParent = row.TextOrNull(23),
        Callback = JobColumns.Json(row.BytesOrEmpty(24), JsonContext.Default.JobCallback),
        Progress = JobColumns.Json(row.BytesOrEmpty(25), JsonContext.Default.JobProgress),
        Inputs = JobColumns.Blobs(row.BytesOrEmpty(26)),
        Artifacts = JobColumns.Blobs(row.BytesOrEmpty(27)),
        Error = JobColumns.Json(row.BytesOrEmpty(28), JsonContext.Default.Problem),
        Parameters = row.BytesOrEmpty(29),
        Result = row.IsDBNull(30) ? (ReadOnlyMemory<byte>?)null : row.GetFieldValue<byte[]>(30),
    };

    public static JobHint ReadHint(NpgsqlDataReader row) => new(
        row.GetString(0), row.GetInt64(1), row.GetString(2), (JobPriority)row.GetInt16(3), row.GetString(4), row.TextOrNull(5), row.TimeOrNull(6), row.GetInt32(7));

    /// <summary>Every row of the current result, then on to the next.</summary>
    public static async Task<List<JobRecord>> ReadAllAsync(NpgsqlDataReader reader, CancellationToken cancellationToken)
    {
        var jobs = new List<JobRecord>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            jobs.Add(Read(reader));
        }

        await reader.NextResultAsync(cancellationToken).ConfigureAwait(false);
        return jobs;
    }

    public static DateTimeOffset? TimeOrNull(this NpgsqlDataReader row, int column) =>
        row.IsDBNull(column) ? null : StoredTime.FromMicroseconds(row.GetInt64(column));

    public static string? TextOrNull(this NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    private static byte[] BytesOrEmpty(this NpgsqlDataReader row, int column) => row.IsDBNull(column) ? [] : row.GetFieldValue<byte[]>(column);
}
