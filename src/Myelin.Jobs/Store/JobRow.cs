using Myelin.Hosting.Storage;
using Myelin.Hosting.Work;

namespace Myelin.Jobs.Store;

/// <summary>Reads the row of a job.</summary>
internal static class JobRow
{
    /// <param name="row">Holds <see cref="JobColumns.Names"/>.</param>
    public static JobRecord Read<TRow>(TRow row) where TRow : IRow, allows ref struct => new()
    {
        Sequence = row.Int64(0),
        Id = row.Text(1),
        Tenant = row.Text(2),
        Model = row.Text(3),
        Priority = (JobPriority)row.Int32(4),
        State = (JobState)row.Int32(5),
        Attempt = row.Int32(6),
        Failures = row.Int32(7),
        EventId = row.Int64(8),
        CancelRequested = row.Flag(9),
        Purged = row.Flag(10),
        CreatedAt = row.Time(11),
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
        Callback = JobColumns.Json(row.Bytes(24), JsonContext.Default.JobCallback),
        Progress = JobColumns.Json(row.Bytes(25), JsonContext.Default.JobProgress),
        Inputs = JobColumns.Blobs(row.Bytes(26)),
        Artifacts = JobColumns.Blobs(row.Bytes(27)),
        Error = JobColumns.Json(row.Bytes(28), JsonContext.Default.Problem),
        Parameters = row.Copy(29),
        Result = row.IsNull(30) ? (ReadOnlyMemory<byte>?)null : row.Copy(30),
    };

    /// <param name="row">Id, token, value and length of a lease.</param>
    public static HeldLease ReadLease<TRow>(TRow row) where TRow : IRow, allows ref struct =>
        new(row.Text(0), row.Text(1), row.TimeOrNull(2) ?? default, row.IsNull(3) ? null : TimeSpan.FromMicroseconds(row.Int64(3)));

    public static JobHint ReadHint<TRow>(TRow row) where TRow : IRow, allows ref struct => new(
        row.Text(0), row.Int64(1), row.Text(2), (JobPriority)row.Int32(3), row.Text(4), row.TextOrNull(5), row.TimeOrNull(6), row.Int32(7));
}
