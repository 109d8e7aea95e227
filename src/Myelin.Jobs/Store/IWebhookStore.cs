using System.Collections.Immutable;

namespace Myelin.Jobs.Store;

/// <summary>
/// Deliveries of finished jobs to their callbacks. A delivery appears in the same transaction as the job's end, so that
/// no end goes untold; it may be sent twice after a crash, never lost.
/// </summary>
internal interface IWebhookStore
{
    /// <summary>
    /// Deliveries that are due, receiver by receiver, the oldest of each first; held until <paramref name="heldUntil"/>: when
    /// this process dies they are due again after that. Attempt is counted up.
    /// </summary>
    ValueTask<WebhooksTaken> TakeDueAsync(DateTimeOffset now, DateTimeOffset heldUntil, WebhookTurn turn, CancellationToken cancellationToken);

    /// <summary>Delivered: never sent again.</summary>
    ValueTask DeliveredAsync(long id, CancellationToken cancellationToken);

    /// <summary>Failed: due again at <paramref name="nextAt"/>, or given up when that is null.</summary>
    ValueTask FailedAsync(long id, DateTimeOffset? nextAt, string error, CancellationToken cancellationToken);
}

/// <param name="Id">Of the delivery.</param>
/// <param name="Job">Its id; read the record for the body.</param>
/// <param name="Attempt">1 for the first.</param>
/// <param name="Receiver">See <see cref="WebhookReceiver"/>.</param>
internal sealed record WebhookDelivery(long Id, string Job, JobCallback Callback, int Attempt, string Receiver);

/// <summary>Whose turn a delivery is: host and port of its callback.</summary>
internal static class WebhookReceiver
{
    /// <summary>Of what is no address, and of deliveries made by older versions.</summary>
    public const string None = "-";

    public static string Of(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Authority.Length > 0 ? uri.Authority.ToLowerInvariant() : None;
}

/// <summary>Whose turn it is.</summary>
/// <param name="After">The receiver that was looked at last, or empty: those behind it come first, in their order, then from the start again.</param>
/// <param name="Limit">Deliveries in all.</param>
/// <param name="Each">Deliveries of one receiver.</param>
/// <param name="Room">Where that is another number for a receiver: how many; 0 passes it by.</param>
internal sealed record WebhookTurn(string After, int Limit, int Each, IReadOnlyDictionary<string, int> Room)
{
    /// <summary>The first look: nothing is under way.</summary>
    public static WebhookTurn Of(int limit) => new("", limit, limit, new Dictionary<string, int>());

    public int RoomOf(string receiver) => Room.TryGetValue(receiver, out var room) ? room : Each;
}

/// <param name="Due">Held for this process.</param>
/// <param name="Last">The receiver that was looked at last: the next turn goes on behind it, also where nothing was due.</param>
internal sealed record WebhooksTaken(ImmutableArray<WebhookDelivery> Due, string Last);
