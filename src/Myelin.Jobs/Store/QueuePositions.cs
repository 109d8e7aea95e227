namespace Myelin.Jobs.Store;

/// <summary>
/// How many jobs of its model and class were accepted before one that waits, without counting them all: exact near either
/// end of the line, where callers look and where lists begin; between the two windows as far along as its sequence is.
/// </summary>
internal static class QueuePositions
{
    /// <summary>Rows read at each end for one page, shared by the lines that the page shows.</summary>
    private const int Budget = 500;

    private const int Least = 16;

    /// <summary>Rows to read at each end of each line.</summary>
    public static int Window(int lines) => Math.Max(Budget / Math.Max(lines, 1), Least);

    /// <param name="sequence">Of the job.</param>
    /// <param name="front">The first sequences of its line, ascending.</param>
    /// <param name="back">The last ones, descending.</param>
    /// <param name="window">How many were asked for at each end.</param>
    /// <param name="count">All jobs of the line.</param>
    public static int Of(long sequence, List<long> front, List<long> back, int window, int count)
    {
        var place = front.BinarySearch(sequence);
        place = place < 0 ? ~place : place;
        if (place < front.Count || front.Count < window)
        {
            return place;
        }

        // The count comes from elsewhere and may be a moment older.
        var last = Math.Max(count, front.Count + 1) - 1;
        var behind = back.BinarySearch(sequence, s_descending);
        behind = behind < 0 ? ~behind : behind;
        if (behind < back.Count)
        {
            return Math.Max(last - behind, front.Count);
        }

        var (from, to) = (front[^1], back[^1]);
        var share = to > from ? (double)(sequence - from) / (to - from) : 0;
        return front.Count + (int)(share * Math.Max(last - back.Count - front.Count, 0));
    }

    private static readonly Comparer<long> s_descending = Comparer<long>.Create(static (a, b) => b.CompareTo(a));
}
