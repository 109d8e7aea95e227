using System.Collections.Immutable;
using System.Text.Json;
using Myelin.Server.Storage.Postgres;

namespace Myelin.Server.Jobs.Store.Postgres;

/// <summary>Deliveries. Several processes take them side by side: one that another holds is skipped.</summary>
internal sealed partial class PostgresJobStore
{
    /// <summary>From receiver to receiver by the index, however many deliveries wait for each.</summary>
    private static readonly string s_take =
        $"""
        WITH RECURSIVE turns(receiver, place) AS (
          (SELECT webhook_receiver(callback) COLLATE "C", 1 FROM webhooks
            WHERE state = 0 AND webhook_receiver(callback) COLLATE "C" > $4 ORDER BY webhook_receiver(callback) COLLATE "C" LIMIT 1)
          UNION ALL
          SELECT (SELECT webhook_receiver(w.callback) COLLATE "C" FROM webhooks w
            WHERE w.state = 0 AND webhook_receiver(w.callback) COLLATE "C" > t.receiver ORDER BY webhook_receiver(w.callback) COLLATE "C" LIMIT 1), t.place + 1
          FROM turns t WHERE t.receiver IS NOT NULL AND t.place < {WebhookTurn.Receivers}
        ), rooms AS MATERIALIZED (
          SELECT receiver, room FROM unnest($7, $8) AS r(receiver, room)
        ), due AS MATERIALIZED (
          SELECT w.id, t.receiver FROM turns t CROSS JOIN LATERAL (
            SELECT id FROM webhooks WHERE state = 0 AND webhook_receiver(callback) COLLATE "C" = t.receiver AND next_at <= $1
            ORDER BY next_at LIMIT coalesce((SELECT room FROM rooms r WHERE r.receiver = t.receiver), $6) FOR UPDATE SKIP LOCKED) w
          WHERE t.receiver <= $5 LIMIT $3
        )
        UPDATE webhooks w SET attempt = attempt + 1, next_at = $2 FROM due WHERE w.id = due.id
        RETURNING w.id, w.job, w.callback, w.attempt, due.receiver
        """;

    /// <summary>Behind every receiver.</summary>
    private const string Last = "\uffff";

    public async ValueTask<ImmutableArray<WebhookDelivery>> TakeDueAsync(
        DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn, CancellationToken cancellationToken)
    {
        var any = await Pool.QueryAsync(
            Repeat.Harmless, "SELECT 1 FROM webhooks WHERE state = 0 AND next_at <= $1 LIMIT 1", p => p.AddTime(now), static row => row.GetInt32(0), cancellationToken);
        if (any.Count == 0)
        {
            return [];
        }

        var due = await TakeAsync(now, heldUntil, turn, turn.After, Last, turn.Limit, cancellationToken);
        if (turn.After.Length > 0 && due.Count < turn.Limit)
        {
            due.AddRange(await TakeAsync(now, heldUntil, turn, "", turn.After, turn.Limit - due.Count, cancellationToken));
        }

        return [.. due];
    }

    public async ValueTask DeliveredAsync(long id, CancellationToken cancellationToken) =>
        await SettleAsync(id, state: 1, nextAt: null, error: null, cancellationToken);

    public async ValueTask FailedAsync(long id, DateTimeOffset? nextAt, string error, CancellationToken cancellationToken) =>
        await SettleAsync(id, nextAt is null ? 2 : 0, nextAt, error.Replace('\0', ' '), cancellationToken);

    private Task<List<WebhookDelivery>> TakeAsync(
        DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn, string after, string until, int limit, CancellationToken cancellationToken) => Pool.QueryAsync(
        Repeat.Never,
        s_take,
        p =>
        {
            var rooms = turn.Room.ToList();
            p.AddTime(now);
            p.AddTime(heldUntil);
            p.AddInteger(limit);
            p.AddText(after);
            p.AddText(until);
            p.AddInteger(turn.Each);
            p.AddTexts(rooms, r => r.Key);
            p.AddIntegers(rooms, r => r.Value);
        },
        static row => new WebhookDelivery(
            row.GetInt64(0),
            row.GetString(1),
            JsonSerializer.Deserialize(row.GetFieldValue<byte[]>(2), JsonContext.Default.JobCallback)!,
            row.GetInt32(3),
            row.GetString(4)),
        cancellationToken);

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
