namespace Myelin.Jobs.Store;

/// <summary>A receiver for which deliveries wait, and when the first of them is due.</summary>
internal readonly record struct WaitingReceiver(string Receiver, DateTimeOffset NextAt);

/// <summary>Reads receivers behind a name, in their order: at most <see cref="WebhookRound.Page"/>, less only at the end.</summary>
internal delegate ValueTask<IReadOnlyList<WaitingReceiver>> ReadReceivers(string after, CancellationToken cancellationToken);

/// <summary>
/// Whose turn it is, from receiver to receiver by an index that knows when the first delivery of each is due. It is found
/// by reading, so that thousands that wait for their retry cost the writer nothing.
/// </summary>
/// <param name="Due">Receivers with something due and room for it, in the order of their turns.</param>
/// <param name="Last">The receiver looked at last.</param>
internal sealed record WebhookRound(IReadOnlyList<string> Due, string Last)
{
    /// <summary>Receivers of one reading.</summary>
    public const int Page = 1000;

    /// <summary>Readings of one look; the next look goes on where this one ended.</summary>
    private const int Pages = 20;

    public static async ValueTask<WebhookRound> LookAsync(WebhookTurn turn, DateTimeOffset now, ReadReceivers read, CancellationToken cancellationToken)
    {
        var due = new List<string>();
        var (last, around) = (turn.After, turn.After.Length == 0);
        for (var i = 0; i < Pages; i++)
        {
            var page = await read(last, cancellationToken);
            foreach (var (receiver, nextAt) in page)
            {
                if (around && turn.After.Length > 0 && string.CompareOrdinal(receiver, turn.After) > 0)
                {
                    return new WebhookRound(due, turn.After); // everybody had a turn
                }

                last = receiver;
                if (nextAt <= now && turn.RoomOf(receiver) > 0)
                {
                    due.Add(receiver);
                    if (due.Count == turn.Limit)
                    {
                        return new WebhookRound(due, last);
                    }
                }
            }

            if (page.Count < Page)
            {
                if (around)
                {
                    break;
                }

                (last, around) = ("", true);
            }
        }

        return new WebhookRound(due, last);
    }

    /// <summary>What was taken, and where the next turn begins: behind the last one served where there was no room for more.</summary>
    public WebhooksTaken Taken(IReadOnlyCollection<WebhookDelivery> taken, int limit)
    {
        var served = taken.Select(d => d.Receiver).ToHashSet(StringComparer.Ordinal);
        return new WebhooksTaken([.. taken], taken.Count < limit ? Last : Due.Last(served.Contains));
    }
}
