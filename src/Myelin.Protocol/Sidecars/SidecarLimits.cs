namespace Myelin.Protocol.Sidecars;

/// <summary>Limits of the sidecar protocol that are not options; docs/sidecar-protocol.md has their arithmetic.</summary>
public static class SidecarLimits
{
    /// <summary>The version of the protocol that this code speaks.</summary>
    public const ushort Version = 1;

    /// <summary>Bytes of one frame after its header.</summary>
    public const int Payload = 1 << 20;

    /// <summary>Bytes of a call's head: 64 tensors of rank 8 with the longest names, and the longest parameters.</summary>
    public const int Head = 24 + (Tensors * (24 + (8 * Rank) + 256)) + Json;

    public const int Tensors = 64;

    public const int Rank = 8;

    /// <summary>UTF-8 bytes of a tensor's name.</summary>
    public const int NameBytes = 255;

    /// <summary>Bytes of parameters, of HELLO's and ERROR's JSON, and of a preview.</summary>
    public const int Json = 65_536;

    /// <summary>Open calls of a connection, whatever both sides say.</summary>
    public const int Calls = 65_536;

    /// <summary>Tensor bytes of one message in this implementation.</summary>
    public const long CallBytes = 1L << 30;

    public const int Models = 256;

    /// <summary>Every tensor begins at a multiple of this, in the ring and inline.</summary>
    public const int Alignment = 64;

    /// <summary>The next multiple of <see cref="Alignment"/>.</summary>
    public static long Align(long bytes) => (bytes + Alignment - 1) & -Alignment;
}
