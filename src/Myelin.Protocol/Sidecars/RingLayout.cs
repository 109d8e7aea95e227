using System.Text.Json.Serialization;

namespace Myelin.Protocol.Sidecars;

/// <summary>The file that worker and sidecar map.</summary>
/// <param name="Path">Absolute; the sidecar opens it.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Inputs">The worker's part: only it writes there.</param>
/// <param name="Outputs">The sidecar's part.</param>
public sealed record RingLayout(string Path, long Bytes, RingPart Inputs, RingPart Outputs)
{
    /// <summary>The parts lie in the file and do not overlap.</summary>
    [JsonIgnore]
    public bool IsSound =>
        Path is { Length: > 0 } && Bytes > 0 && Inputs is not null && Outputs is not null && Inputs.IsWithin(Bytes) && Outputs.IsWithin(Bytes)
        && (Inputs.Offset + Inputs.Bytes <= Outputs.Offset || Outputs.Offset + Outputs.Bytes <= Inputs.Offset);
}

/// <summary>One side's part of the ring.</summary>
/// <param name="Offset">From the begin of the file.</param>
public sealed record RingPart(long Offset, long Bytes)
{
    internal bool IsWithin(long file) => Offset >= 0 && Bytes >= 0 && Bytes <= file && Offset <= file - Bytes;

    /// <summary>The place lies in this part.</summary>
    internal bool Holds(ulong offset, ulong bytes) =>
        bytes <= (ulong)Bytes && offset >= (ulong)Offset && offset - (ulong)Offset <= (ulong)Bytes - bytes;
}
