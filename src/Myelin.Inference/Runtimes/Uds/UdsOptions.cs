using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>How a worker reaches a sidecar over a Unix domain socket.</summary>
public sealed record UdsOptions
{
    /// <summary>The socket that the sidecar listens on.</summary>
    public required string SocketPath { get; init; }

    /// <summary>The name in READY; null: the only one there.</summary>
    public string? Model { get; init; }

    /// <summary>Tensors go through memory that both sides map; false: all inline.</summary>
    public bool SharedMemory { get; init; } = true;

    /// <summary>Where the ring's file is made. Between containers: the folder of the socket, on a volume that both mount at the same path.</summary>
    public string RingFolder { get; init; } = "/dev/shm";

    /// <summary>Whose the file is to be, where the sidecar runs as another user; only root may give files away. Null: the worker's.</summary>
    public (uint User, uint Group)? RingOwner { get; init; }

    /// <summary>Bytes of the ring's part for inputs. Reserved whole at connecting.</summary>
    public long InputRingBytes { get; init; } = 64L << 20;

    /// <summary>Bytes of the ring's part for outputs.</summary>
    public long OutputRingBytes { get; init; } = 64L << 20;

    /// <summary>Tensors smaller than this travel inline: a small copy through the socket costs less than keeping a place.</summary>
    public int InlineBelow { get; init; } = 16 * 1024;

    /// <summary>How long a call waits for a free place in the ring before it goes inline.</summary>
    public TimeSpan RingPatience { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>How long the sidecar has to listen and to greet.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long it has to load its models after that.</summary>
    public TimeSpan ReadyTimeout { get; init; } = TimeSpan.FromSeconds(60);

    public TimeSpan PingInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A sidecar that has not answered a ping for so long is taken for hung and the connection ends.</summary>
    public TimeSpan PingTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Answers awaited at the same time; further calls wait here. The sidecar may allow fewer.</summary>
    public int MaxCalls { get; init; } = 1024;

    /// <summary>Tensor bytes of one message, at most 1 GiB. The sidecar may allow fewer.</summary>
    public long MaxCallBytes { get; init; } = SidecarLimits.CallBytes;

    /// <summary>How long one call may take; the sidecar is told, and stops computing. Null: as long as it takes.</summary>
    public TimeSpan? CallTimeout { get; init; }

    /// <summary>A sidecar that leaves a call unanswered for so long after <see cref="CallTimeout"/> is taken for hung and the connection ends.</summary>
    public TimeSpan HangGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the caller of a cancelled call waits for the sidecar to say that it has stopped.</summary>
    public TimeSpan CancelPatience { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>A model that can cancel and leaves a cancelled call unanswered for so long is taken for hung and the connection ends. Null: never.</summary>
    public TimeSpan? CancelTimeout { get; init; }

    /// <exception cref="ArgumentException">Says which value is wrong, and what it may be.</exception>
    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrEmpty(SocketPath);
        if (InputRingBytes < 4096 || OutputRingBytes < 4096 || InputRingBytes > 1L << 36 || OutputRingBytes > 1L << 36)
        {
            throw new ArgumentException($"ring parts of {InputRingBytes} and {OutputRingBytes} bytes; each has 4 KiB to 64 GiB");
        }

        if (MaxCalls is < 1 or > SidecarLimits.Calls || MaxCallBytes is < 1 or > SidecarLimits.CallBytes)
        {
            throw new ArgumentException($"MaxCalls {MaxCalls} and MaxCallBytes {MaxCallBytes}; 1 to {SidecarLimits.Calls} and 1 to {SidecarLimits.CallBytes}");
        }

        if (PingInterval <= TimeSpan.Zero || PingTimeout <= TimeSpan.Zero || CallTimeout <= TimeSpan.Zero || HangGrace < TimeSpan.Zero)
        {
            throw new ArgumentException("PingInterval, PingTimeout and CallTimeout are above zero, HangGrace is not below");
        }
    }
}
