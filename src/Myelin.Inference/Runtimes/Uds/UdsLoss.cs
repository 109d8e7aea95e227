using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Why a connection to a sidecar ended.</summary>
public enum UdsEnding
{
    /// <summary>This side disposed it.</summary>
    Closed,

    /// <summary>The sidecar asked to be left and every call has its answer.</summary>
    Drained,

    /// <summary>The stream ended: the process is gone, or closed it.</summary>
    StreamEnded,

    /// <summary>The sidecar broke the protocol, or says that this side did.</summary>
    BadFrame,

    /// <summary>The two have no version in common.</summary>
    VersionMismatch,

    /// <summary>The sidecar could not load its models.</summary>
    LoadFailed,

    /// <summary>It did not listen, greet or get ready in time.</summary>
    NotReady,

    /// <summary>It did not answer a ping in time.</summary>
    NoPong,

    /// <summary>It left a call unanswered long after its time had run out.</summary>
    Hung,
}

/// <summary>The end of a connection.</summary>
/// <param name="Ending">What kind of end.</param>
/// <param name="Message">For a person.</param>
public sealed record UdsLoss(UdsEnding Ending, string Message)
{
    /// <summary>What a caller gets whose call the end has cut off, or who comes after it.</summary>
    internal RuntimeException ToException() => Ending switch
    {
        UdsEnding.LoadFailed => new RuntimeException(Message, retryable: false) { Code = SidecarErrors.LoadFailed },
        UdsEnding.VersionMismatch => new RuntimeException(Message, retryable: false) { Code = SidecarErrors.VersionMismatch },
        UdsEnding.BadFrame => new RuntimeException(Message, retryable: true) { Code = SidecarErrors.BadFrame },
        _ => new RuntimeException(Message, retryable: true) { Code = SidecarErrors.ConnectionLost },
    };
}
