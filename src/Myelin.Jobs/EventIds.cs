namespace Myelin.Jobs;

/// <summary>
/// Numbers of a job's events: strictly growing within a job over attempts, crashes and processes, without storing each
/// event. Every attempt owns 2²⁰ numbers: its claim takes the first, progress the next ones, its ending the last.
/// </summary>
internal static class EventIds
{
    private const int Bits = 20;
    private const long Last = (1L << Bits) - 1;

    /// <summary>More than the progress of the second that may lie between two writes of it.</summary>
    public const long Untold = 1 << 12;

    /// <summary>The job was accepted.</summary>
    public const long Queued = 0;

    public static long Claimed(int attempt) => (long)attempt << Bits;

    /// <summary>The <paramref name="n"/>th progress (from 1) of an attempt; stays below the ending's number.</summary>
    public static long Progress(int attempt, long n) => Claimed(attempt) + Math.Min(n, Last - 1);

    /// <summary>The lease lapsed: ahead of all progress that was told and not stored, and the attempt may yet come back.</summary>
    public static long Lapsed(int attempt, long stored) => Math.Min(stored + Untold, Ended(attempt) - 1);

    /// <summary>It came back.</summary>
    public static long Returned(int attempt, long stored) => Math.Min(stored + 1, Ended(attempt) - 1);

    /// <summary>A running attempt ended the job or went back to the queue.</summary>
    public static long Ended(int attempt) => Claimed(attempt) + Last;

    /// <summary>A queued job was cancelled or expired: after every number of its past attempts.</summary>
    public static long EndedInQueue(int attempt) => Ended(attempt + 1);
}
