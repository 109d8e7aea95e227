using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>How a model of an Open Inference Protocol v2 server is reached.</summary>
public sealed record HttpOptions
{
    /// <summary><c>http://host:port</c>, <c>https://host:port</c> or <c>http+unix:/path.sock</c>; a path after the port is put before <c>/v2</c>.</summary>
    public required SidecarAddress Address { get; init; }

    /// <summary>Null where the server has exactly one model.</summary>
    public string? Model { get; init; }

    /// <summary>Null for the server's choice.</summary>
    public string? Version { get; init; }

    /// <summary>
    /// Many calls share a connection. Without TLS the server must know of HTTP/2 beforehand (Myelin's sidecars do, Triton
    /// does not). HTTP/1.1 moves large tensors faster: HTTP/2 cuts them into frames of 16 kB.
    /// </summary>
    public bool Http2 { get; init; }

    /// <summary>How long the server may take to be ready.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long one connection may take to be made.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a call may take, the wait for a connection included; infinite where callers bring their own deadline.</summary>
    public TimeSpan CallTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>How long the answer to a question of health or metadata may take.</summary>
    public TimeSpan ControlTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long disposal waits for running calls before it interrupts them.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Connections for calls at the same time; a further call waits for one, first come first served. HTTP/2 rarely needs more than one.</summary>
    public int MaxConnections { get; init; } = 64;

    /// <summary>An unused connection is closed after this; less than servers wait, most of which close after 5 s to 2 min.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>Calls that the model computes at the same time, where the server does not say.</summary>
    public int Concurrency { get; init; } = 1;

    public OipLimits Message { get; init; } = new();

    /// <summary>Times are measured and waited for with it.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
