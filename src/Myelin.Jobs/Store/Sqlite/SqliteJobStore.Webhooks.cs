using System.Collections.Immutable;
using System.Text.Json;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Jobs.Store.Sqlite;

internal sealed partial class SqliteJobStore
{
    public async ValueTask<WebhooksTaken> TakeDueAsync(DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn, CancellationToken cancellationToken)
    {
        // Most looks find nothing: they cost a read, not a commit.
        if (!await Database.ReadAsync(session => AnyDue(session, now), cancellationToken))
        {
            return new WebhooksTaken([], turn.After);
        }

        var round = await WebhookRound.LookAsync(
            turn, now, async (after, token) => await Database.ReadAsync(session => Receivers(session, after), token), cancellationToken);
        return round.Due.Count == 0 ? new WebhooksTaken([], round.Last)
            : round.Taken(await Database.WriteAsync(session => Take(session, round.Due, now, heldUntil, turn), cancellationToken), turn.Limit);
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

    private static List<WaitingReceiver> Receivers(SqliteSession session, string after)
    {
        var found = new List<WaitingReceiver>();
        while (found.Count < WebhookRound.Page && NextReceiver(session, after) is { } next)
        {
            found.Add(next);
            after = next.Receiver;
        }

        return found;
    }

    private static ImmutableArray<WebhookDelivery> Take(
        SqliteSession session, IReadOnlyList<string> receivers, DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn)
    {
        var due = ImmutableArray.CreateBuilder<WebhookDelivery>();
        foreach (var receiver in receivers.TakeWhile(_ => due.Count < turn.Limit))
        {
            Take(session, receiver, now, heldUntil, Math.Min(turn.RoomOf(receiver), turn.Limit - due.Count), due);
        }

        return due.DrainToImmutable();
    }

    private static void Take(
        SqliteSession session, string receiver, DateTimeOffset now, DateTimeOffset heldUntil, int limit, ImmutableArray<WebhookDelivery>.Builder due)
    {
        using var rows = session.Prepare(
            """
            UPDATE webhooks SET attempt = attempt + 1, next_at = ?2
            WHERE id IN (SELECT id FROM webhooks WHERE state = 0 AND receiver = ?4 AND next_at <= ?1 ORDER BY next_at LIMIT ?3)
            RETURNING id, job, callback, attempt
            """);
        rows.Bind(1, now);
        rows.Bind(2, heldUntil);
        rows.Bind(3, limit);
        rows.Bind(4, receiver);
        while (rows.Step())
        {
            var callback = JsonSerializer.Deserialize(rows.Bytes(2), JsonContext.Default.JobCallback)!;
            due.Add(new WebhookDelivery(rows.Int64(0), rows.Text(1), callback, rows.Int32(3), receiver));
        }
    }

    /// <summary>One step in the index, however many deliveries wait for each.</summary>
    private static WaitingReceiver? NextReceiver(SqliteSession session, string after)
    {
        using var row = session.Prepare("SELECT receiver, next_at FROM webhooks WHERE state = 0 AND receiver > ?1 ORDER BY receiver, next_at LIMIT 1");
        row.Bind(1, after);
        return row.Step() ? new WaitingReceiver(row.Text(0), row.Time(1)) : null;
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
        using var insert = session.Prepare("INSERT INTO webhooks (job, callback, next_at, receiver) VALUES (?1, ?2, ?3, ?4)");
        insert.Bind(1, job.Id);
        insert.Bind(2, JobColumns.Json(job.Callback, JsonContext.Default.JobCallback));
        insert.Bind(3, now);
        insert.Bind(4, WebhookReceiver.Of(job.Callback!.Url));
        insert.Run();
    }
}
