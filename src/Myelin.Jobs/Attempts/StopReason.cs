namespace Myelin.Jobs.Attempts;

/// <summary>Why a running attempt was told to stop. The first reason holds.</summary>
internal enum StopReason
{
    None,

    /// <summary>Somebody cancelled the job.</summary>
    Cancelled,

    /// <summary>It ran longer than an attempt may.</summary>
    TimedOut,

    /// <summary>Another worker owns the job by now: whatever comes of this attempt is dropped.</summary>
    LeaseLost,

    /// <summary>The process goes away: the job goes back to the queue, at no cost to it.</summary>
    Shutdown,
}
