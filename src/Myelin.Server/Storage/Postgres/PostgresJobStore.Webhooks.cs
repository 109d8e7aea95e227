using System.Collections.Immutable;
using System.Text.Json;

namespace Myelin.Server.Storage.Postgres;

/// <summary>Deliveries. Several processes take them side by side: one that another holds is skipped.</summary>
internal sealed partial class PostgresJobStore
{
    public async ValueTask<ImmutableArray<WebhookDelivery>> TakeDueAsync(
        DateTimeOffset now, DateTimeOffset heldUntil, int limit, CancellationToken cancellationToken)
    {
        var due = await Pool.QueryAsync(
            Repeat.Never,
            """
            WITH due AS MATERIALIZED (SELECT id FROM webhooks WHERE state = 0 AND next_at <= $1 ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED)
            UPDATE webhooks w SET attempt = attempt + 1, next_at = $2 FROM due WHERE w.id = due.id
            RETURNING w.id, w.job, w.callback, w.attempt
            """,
            p =>
            {
                p.AddTime(now);
                p.AddTime(heldUntil);
                p.AddInteger(limit);
            },
            static row => new WebhookDelivery(
                row.GetInt64(0), row.GetString(1), JsonSerializer.Deserialize(row.GetFieldValue<byte[]>(2), JsonContext.Default.JobCallback)!, row.GetInt32(3)),
            cancellationToken);
        return [.. due];
    }

    public async ValueTask DeliveredAsync(long id, CancellationToken cancellationToken) =>
        await SettleAsync(id, state: 1, nextAt: null, error: null, cancellationToken);

    public async ValueTask FailedAsync(long id, DateTimeOffset? nextAt, string error, CancellationToken cancellationToken) =>
        await SettleAsync(id, nextAt is null ? 2 : 0, nextAt, error.Replace('\0', ' '), cancellationToken);

    private Task<int> SettleAsync(long id, int state, DateTimeOffset? nextAt, string? error, CancellationToken cancellationToken) => Pool.ExecuteAsync(
        Repeat.Harmless,
        "UPDATE webhooks SET state = $2, next_at = coalesce($3, next_at), error = $4 WHERE id = $1 AND state = 0",
        p =>
        {
            p.AddLong(id);
            p.AddInteger(state);
            p.AddTime(nextAt);
            p.AddText(error);
        },
        cancellationToken);
}
