using System.Text.Json;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>Deliveries. Several processes take them side by side: one that another holds is skipped.</summary>
internal sealed partial class PostgresJobStore
{
    /// <summary>From receiver to receiver by the index, however many deliveries wait for each.</summary>
    private static readonly string s_receivers =
        $"""
        WITH RECURSIVE turns(receiver, next_at, place) AS (
          SELECT n.receiver, n.next_at, 1 FROM ({NextReceiver("$1")}) n
          UNION ALL
          SELECT n.receiver, n.next_at, t.place + 1 FROM turns t CROSS JOIN LATERAL ({NextReceiver("t.receiver")}) n WHERE t.place < {WebhookRound.Page}
        )
        SELECT receiver, next_at FROM turns ORDER BY receiver
        """;

    private const string Take =
        """
        WITH due AS MATERIALIZED (
          SELECT w.id, t.receiver FROM unnest($4, $5) WITH ORDINALITY AS t(receiver, room, place) CROSS JOIN LATERAL (
            SELECT id FROM webhooks WHERE state = 0 AND webhook_receiver(callback) COLLATE "C" = t.receiver AND next_at <= $1
            ORDER BY next_at LIMIT t.room FOR UPDATE SKIP LOCKED) w
          LIMIT $3
        )
        UPDATE webhooks w SET attempt = attempt + 1, next_at = $2 FROM due WHERE w.id = due.id
        RETURNING w.id, w.job, w.callback, w.attempt, due.receiver
        """;

    public async ValueTask<WebhooksTaken> TakeDueAsync(DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn, CancellationToken cancellationToken)
    {
        var any = await Pool.QueryAsync(
            Repeat.Harmless, "SELECT 1 FROM webhooks WHERE state = 0 AND next_at <= $1 LIMIT 1", p => p.AddTime(now), static row => row.GetInt32(0), cancellationToken);
        if (any.Count == 0)
        {
            return new WebhooksTaken([], turn.After);
        }

        var round = await WebhookRound.LookAsync(turn, now, ReceiversAsync, cancellationToken);
        return round.Due.Count == 0 ? new WebhooksTaken([], round.Last)
            : round.Taken(await TakeAsync(round.Due, now, heldUntil, turn, cancellationToken), turn.Limit);
    }

    public async ValueTask DeliveredAsync(long id, CancellationToken cancellationToken) =>
        await SettleAsync(id, state: 1, nextAt: null, error: null, cancellationToken);

    public async ValueTask FailedAsync(long id, DateTimeOffset? nextAt, string error, CancellationToken cancellationToken) =>
        await SettleAsync(id, nextAt is null ? 2 : 0, nextAt, error.Replace('\0', ' '), cancellationToken);

    private async ValueTask<IReadOnlyList<WaitingReceiver>> ReceiversAsync(string after, CancellationToken cancellationToken) => await Pool.QueryAsync(
        Repeat.Harmless,
        s_receivers,
        p => p.AddText(after),
        static row => new WaitingReceiver(row.GetString(0), StoredTime.FromMicroseconds(row.GetInt64(1))),
        cancellationToken);

    private Task<List<WebhookDelivery>> TakeAsync(
        IReadOnlyList<string> receivers, DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn, CancellationToken cancellationToken) => Pool.QueryAsync(
        Repeat.Never,
        Take,
        p =>
        {
            p.AddTime(now);
            p.AddTime(heldUntil);
            p.AddInteger(turn.Limit);
            p.AddTexts(receivers, r => r);
            p.AddIntegers(receivers, turn.RoomOf);
        },
        static row => new WebhookDelivery(
            row.GetInt64(0),
            row.GetString(1),
            JsonSerializer.Deserialize(row.GetFieldValue<byte[]>(2), JsonContext.Default.JobCallback)!,
            row.GetInt32(3),
            row.GetString(4)),
        cancellationToken);

    private static string NextReceiver(string after) =>
        $"""
        SELECT webhook_receiver(callback) COLLATE "C" AS receiver, next_at FROM webhooks
        WHERE state = 0 AND webhook_receiver(callback) COLLATE "C" > {after} ORDER BY webhook_receiver(callback) COLLATE "C", next_at LIMIT 1
        """;

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
