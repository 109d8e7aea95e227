namespace Myelin.Inference.Runtimes;

/// <summary>A runtime's call failed.</summary>
/// <param name="message">What happened, for a person.</param>
/// <param name="retryable">True where the same call may succeed on another attempt (a crash, a lost connection).</param>
/// <param name="inner">The native fault.</param>
public sealed class RuntimeException(string message, bool retryable, Exception? inner = null) : Exception(message, inner)
{
    public bool Retryable { get; } = retryable;

    /// <summary>
    /// One of <see cref="Myelin.Protocol.Sidecars.SidecarErrors"/> where a sidecar or the connection to it failed
    /// (<c>draining</c>: nothing was done, send it elsewhere); null for the native runtime.
    /// </summary>
    public string? Code { get; init; }
}
