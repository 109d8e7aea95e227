using System.Collections.Immutable;
using System.Text.Json;
using Myelin.Server.Jobs;

namespace Myelin.Server.Storage.Sqlite;

internal sealed partial class SqliteJobStore
{
    public async ValueTask<ImmutableArray<WebhookDelivery>> TakeDueAsync(
        DateTimeOffset now, DateTimeOffset heldUntil, int limit, CancellationToken cancellationToken)
    {
        // Most looks find nothing: they cost a read, not a commit.
        if (!await Database.ReadAsync(session => AnyDue(session, now), cancellationToken))
        {
            return [];
        }

        return await Database.WriteAsync(
            session =>
            {
                using var rows = session.Prepare(
                    """
                    UPDATE webhooks SET attempt = attempt + 1, next_at = ?2
                    WHERE id IN (SELECT id FROM webhooks WHERE state = 0 AND next_at <= ?1 ORDER BY next_at LIMIT ?3)
                    RETURNING id, job, callback, attempt
                    """);
                rows.Bind(1, now);
                rows.Bind(2, heldUntil);
                rows.Bind(3, limit);
                var due = ImmutableArray.CreateBuilder<WebhookDelivery>();
                while (rows.Step())
                {
                    var callback = JsonSerializer.Deserialize(rows.Bytes(2), JsonContext.Default.JobCallback)!;
                    due.Add(new WebhookDelivery(rows.Int64(0), rows.Text(1), callback, rows.Int32(3)));
                }

                return due.DrainToImmutable();
            },
            cancellationToken);
    }

    public async ValueTask DeliveredAsync(long id, CancellationToken cancellationToken) =>
        await Database.WriteAsync(session => Settle(session, id, state: 1, nextAt: null, error: null), cancellationToken);

    public async ValueTask FailedAsync(long id, DateTimeOffset? nextAt, string error, CancellationToken cancellationToken) =>
        await Database.WriteAsync(session => Settle(session, id, nextAt is null ? 2 : 0, nextAt, error), cancellationToken);

    private static bool AnyDue(SqliteSession session, DateTimeOffset now)
    {
        using var row = session.Prepare("SELECT 1 FROM webhooks WHERE state = 0 AND next_at <= ?1 LIMIT 1");
        row.Bind(1, now);
        return row.Step();
    }

    private static int Settle(SqliteSession session, long id, int state, DateTimeOffset? nextAt, string? error)
    {
        using var update = session.Prepare("UPDATE webhooks SET state = ?2, next_at = coalesce(?3, next_at), error = ?4 WHERE id = ?1 AND state = 0");
        update.Bind(1, id);
        update.Bind(2, state);
        update.Bind(3, nextAt);
        update.Bind(4, error);
        return update.Run();
    }

    private static void AddWebhook(SqliteSession session, JobRecord job, DateTimeOffset now)
    {
        using var insert = session.Prepare("INSERT INTO webhooks (job, callback, next_at) VALUES (?1, ?2, ?3)");
        insert.Bind(1, job.Id);
        insert.Bind(2, JobColumns.Json(job.Callback, JsonContext.Default.JobCallback));
        insert.Bind(3, now);
        insert.Run();
    }
}
