using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Sidecar.Http;

/// <summary>What the HTTP side of a sidecar allows.</summary>
internal sealed record HttpListenerOptions
{
    public OipLimits Message { get; init; } = new();

    /// <summary>Connections at the same time; a further one is closed at once.</summary>
    public int MaxConnections { get; init; } = 4096;

    /// <summary>Calls over one HTTP/2 connection at the same time; further ones wait at the caller.</summary>
    public int MaxStreams { get; init; } = 1024;

    /// <summary>Calls that have been taken and not answered; a further one gets 503.</summary>
    public int MaxCalls { get; init; } = 4096;

    /// <summary>How long a follower of a call's progress waits for the call to begin.</summary>
    public TimeSpan FollowWait { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a connection may say nothing before its first byte.</summary>
    public TimeSpan FirstByte { get; init; } = TimeSpan.FromSeconds(130);

    /// <summary>How long a failed load is told to those who ask before the sidecar ends.</summary>
    public TimeSpan FailureShown { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Deadlines and waits go by it.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
