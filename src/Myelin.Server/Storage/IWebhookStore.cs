using System.Collections.Immutable;

namespace Myelin.Server.Storage;

/// <summary>
/// Deliveries of finished jobs to their callbacks. A delivery appears in the same transaction as the job's end, so that
/// no end goes untold; it may be sent twice after a crash, never lost.
/// </summary>
internal interface IWebhookStore
{
    /// <summary>
    /// Deliveries that are due, oldest first, held until <paramref name="heldUntil"/>: when this process dies they are
    /// due again after that. Attempt is counted up.
    /// </summary>
    ValueTask<ImmutableArray<WebhookDelivery>> TakeDueAsync(DateTimeOffset now, DateTimeOffset heldUntil, int limit, CancellationToken cancellationToken);

    /// <summary>Delivered: never sent again.</summary>
    ValueTask DeliveredAsync(long id, CancellationToken cancellationToken);

    /// <summary>Failed: due again at <paramref name="nextAt"/>, or given up when that is null.</summary>
    ValueTask FailedAsync(long id, DateTimeOffset? nextAt, string error, CancellationToken cancellationToken);
}

/// <param name="Id">Of the delivery.</param>
/// <param name="Job">Its id; read the record for the body.</param>
/// <param name="Attempt">1 for the first.</param>
internal sealed record WebhookDelivery(long Id, string Job, JobCallback Callback, int Attempt);
