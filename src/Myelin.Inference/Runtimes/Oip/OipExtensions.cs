namespace Myelin.Inference.Runtimes.Oip;

/// <summary>What Myelin adds to the protocol. A server without them is a sidecar all the same. Beside <c>error</c> stands a <c>code</c> of <see cref="Protocol.Sidecars.SidecarErrors"/>.</summary>
internal static class OipExtensions
{
    /// <summary>In <c>GET /v2</c>: calls can be followed at <see cref="CallsPath"/>. In a model's parameters: it reports progress.</summary>
    public const string Progress = "myelin_progress";

    /// <summary>In <c>GET /v2</c>: a call whose connection is closed stops computing.</summary>
    public const string Cancel = "myelin_cancel";

    /// <summary>In <c>GET /v2</c>: HTTP/2 without TLS is spoken at the same address.</summary>
    public const string Http2 = "myelin_h2c";

    /// <summary>In a model's parameters: calls that are computed at the same time.</summary>
    public const string Concurrency = "myelin_concurrency";

    /// <summary>In a model's parameters: the task that it does as a whole.</summary>
    public const string Task = "myelin_task";

    /// <summary>In a request's parameters: the name under which the call is followed.</summary>
    public const string Call = "myelin_call";

    /// <summary>In an answer's parameters: nanoseconds that computing took.</summary>
    public const string Compute = "myelin_compute_ns";

    /// <summary>Followed by the call's name: server-sent events <c>progress</c> until the call has ended.</summary>
    public const string CallsPath = "v2/myelin/calls/";
}
