using System.Runtime.InteropServices;

namespace Myelin.Hosting.Artifacts;

internal static class Blobs
{
    /// <summary>A stream over memory, without a copy where it is an array.</summary>
    public static MemoryStream Reading(ReadOnlyMemory<byte> bytes) =>
        MemoryMarshal.TryGetArray(bytes, out var array)
            ? new MemoryStream(array.Array!, array.Offset, array.Count, writable: false)
            : new MemoryStream(bytes.ToArray(), writable: false);
}
