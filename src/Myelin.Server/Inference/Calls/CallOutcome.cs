namespace Myelin.Server.Inference.Calls;

/// <summary>How a synchronous call ended at a gateway.</summary>
internal enum CallOutcome
{
    /// <summary>This process has the model: no other was asked.</summary>
    Local,

    /// <summary>A worker answered, whatever it said.</summary>
    Answered,

    /// <summary>Every worker that was asked had no place.</summary>
    Refused,

    /// <summary>No live worker that can be reached has the model.</summary>
    NoWorker,

    /// <summary>The worker went away, or was too slow, after a part of the call had been sent.</summary>
    Lost,

    /// <summary>The caller left.</summary>
    Left,
}
