using System.Buffers.Binary;

namespace Myelin.Protocol.Sidecars;

/// <summary>The 16 bytes before every payload.</summary>
/// <param name="Type">What follows.</param>
/// <param name="Call">The call's number; 0 for frames of the connection.</param>
/// <param name="Length">Bytes of the payload, at most <see cref="SidecarLimits.Payload"/>.</param>
public readonly record struct FrameHeader(FrameType Type, ulong Call, int Length)
{
    public const int Bytes = 16;

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(destination, (uint)Length);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[4..], (uint)Type); // flags and zero are 0
        BinaryPrimitives.WriteUInt64LittleEndian(destination[8..], Call);
    }

    /// <summary>Reads a header and refuses, before a byte of the payload is awaited, what no payload could make right.</summary>
    /// <exception cref="BadFrameException">An unknown type, a length or a call that this type may not have, a bit that must be 0.</exception>
    public static FrameHeader Read(ReadOnlySpan<byte> source)
    {
        var length = BinaryPrimitives.ReadUInt32LittleEndian(source);
        var kind = BinaryPrimitives.ReadUInt32LittleEndian(source[4..]);
        var call = BinaryPrimitives.ReadUInt64LittleEndian(source[8..]);
        if (length > SidecarLimits.Payload)
        {
            throw new BadFrameException($"length {length} is over {SidecarLimits.Payload}");
        }

        if (kind > byte.MaxValue)
        {
            throw new BadFrameException("flags and zero must be 0");
        }

        var type = (FrameType)kind;
        if (type >= FrameType.Extension)
        {
            return new FrameHeader(type, call, (int)length);
        }

        var (least, most, ofCall) = type switch
        {
            FrameType.Hello => (8, 8 + SidecarLimits.Json, Scope.Connection),
            FrameType.Ready => (2, SidecarLimits.Payload, Scope.Connection),
            FrameType.Infer or FrameType.Result => (CallHead.FixedBytes, SidecarLimits.Head, Scope.Call),
            FrameType.Data => (1, SidecarLimits.Payload, Scope.Call),
            FrameType.Error => (2, SidecarLimits.Json, Scope.Either),
            FrameType.Progress => (ProgressFrame.FixedBytes, ProgressFrame.FixedBytes + SidecarLimits.Json, Scope.Either),
            FrameType.Cancel or FrameType.Release => (0, 0, Scope.Call),
            FrameType.Ping or FrameType.Pong => (8, 8, Scope.Connection),
            FrameType.Drain => (0, 0, Scope.Connection),
            _ => throw new BadFrameException($"there is no frame of type {kind}"),
        };
        if (length < least || length > most)
        {
            throw new BadFrameException($"a payload of {length} bytes; {type} has {least} to {most}");
        }

        if (ofCall == (call == 0 ? Scope.Call : Scope.Connection))
        {
            throw new BadFrameException($"{type} with call {call}");
        }

        return new FrameHeader(type, call, (int)length);
    }

    private enum Scope
    {
        Connection,
        Call,
        Either,
    }
}
