using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Myelin.Protocol.Sidecars;

/// <summary>What the worker says of itself.</summary>
/// <param name="Product">Such as <c>myelin/0.1.0</c>; for logs only.</param>
/// <param name="MaxCalls">Most answers it waits for at the same time.</param>
/// <param name="MaxCallBytes">Most tensor bytes of one message.</param>
/// <param name="Ring">The file that both map; null where all goes inline.</param>
public sealed record WorkerHello(string? Product = null, int MaxCalls = SidecarLimits.Calls, long MaxCallBytes = SidecarLimits.CallBytes, RingLayout? Ring = null);

/// <summary>What the sidecar answers.</summary>
/// <param name="Product">For logs only.</param>
/// <param name="Ring">It mapped the file.</param>
/// <param name="MaxCalls">Most calls it holds at the same time.</param>
/// <param name="MaxCallBytes">Most tensor bytes of one message.</param>
public sealed record SidecarHello(string? Product = null, bool Ring = false, int MaxCalls = SidecarLimits.Calls, long MaxCallBytes = SidecarLimits.CallBytes);

/// <summary>The payload of HELLO: magic, versions, JSON.</summary>
public static class Hello
{
    private static ReadOnlySpan<byte> Magic => "MYLN"u8;

    private const int FixedBytes = 8;

    public static byte[] Write(ushort min, ushort max, WorkerHello hello) => Write(min, max, hello, SidecarJsonContext.Default.WorkerHello);

    public static byte[] Write(ushort version, SidecarHello hello) => Write(version, version, hello, SidecarJsonContext.Default.SidecarHello);

    /// <exception cref="BadFrameException">It is no HELLO of a worker.</exception>
    public static (ushort Min, ushort Max, WorkerHello Hello) ReadWorker(ReadOnlySpan<byte> payload)
    {
        var (min, max, hello) = Read(payload, SidecarJsonContext.Default.WorkerHello);
        Limits(hello.MaxCalls, hello.MaxCallBytes);
        if (hello.Ring is { } ring && !ring.IsSound)
        {
            throw new BadFrameException("HELLO: the ring's parts overlap or leave its file");
        }

        return (min, max, hello);
    }

    /// <exception cref="BadFrameException">It is no HELLO of a sidecar, which names one version.</exception>
    public static (ushort Version, SidecarHello Hello) ReadSidecar(ReadOnlySpan<byte> payload)
    {
        var (min, max, hello) = Read(payload, SidecarJsonContext.Default.SidecarHello);
        Limits(hello.MaxCalls, hello.MaxCallBytes);
        return min == max ? (min, hello) : throw new BadFrameException($"HELLO: versions {min} to {max}; a sidecar answers with one");
    }

    private static byte[] Write<T>(ushort min, ushort max, T hello, JsonTypeInfo<T> type)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(hello, type);
        var payload = new byte[FixedBytes + json.Length];
        Magic.CopyTo(payload);
        BinaryPrimitives.WriteUInt16LittleEndian(payload.AsSpan(4), min);
        BinaryPrimitives.WriteUInt16LittleEndian(payload.AsSpan(6), max);
        json.CopyTo(payload, FixedBytes);
        return payload;
    }

    private static (ushort Min, ushort Max, T Value) Read<T>(ReadOnlySpan<byte> payload, JsonTypeInfo<T> type)
    {
        if (payload.Length <= FixedBytes || payload.Length > FixedBytes + SidecarLimits.Json || !payload.StartsWith(Magic))
        {
            throw new BadFrameException("HELLO: not the magic bytes, or no JSON after them, or too much");
        }

        var min = BinaryPrimitives.ReadUInt16LittleEndian(payload[4..]);
        var max = BinaryPrimitives.ReadUInt16LittleEndian(payload[6..]);
        if (min > max)
        {
            throw new BadFrameException($"HELLO: versions {min} to {max}");
        }

        return (min, max, SidecarJson.Read(payload[FixedBytes..], type, "HELLO"));
    }

    private static void Limits(int calls, long bytes)
    {
        if (calls < 1 || bytes < 1)
        {
            throw new BadFrameException($"HELLO: maxCalls {calls}, maxCallBytes {bytes}");
        }
    }
}
