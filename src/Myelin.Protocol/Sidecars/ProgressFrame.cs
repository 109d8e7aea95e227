using System.Buffers.Binary;

namespace Myelin.Protocol.Sidecars;

/// <summary>The payload of PROGRESS: step, steps, and the bytes of a preview.</summary>
public readonly ref struct ProgressFrame(uint step, uint steps, ReadOnlySpan<byte> preview)
{
    /// <summary>Bytes before the preview.</summary>
    public const int FixedBytes = 8;

    public uint Step { get; } = step;

    public uint Steps { get; } = steps;

    /// <summary>A JPEG or nothing, at most <see cref="SidecarLimits.Json"/> bytes.</summary>
    public ReadOnlySpan<byte> Preview { get; } = preview;

    public int Bytes => FixedBytes + Preview.Length;

    /// <param name="payload">At least <see cref="FixedBytes"/>; the frame's header has been checked.</param>
    public static ProgressFrame Read(ReadOnlySpan<byte> payload) =>
        new(BinaryPrimitives.ReadUInt32LittleEndian(payload), BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]), payload[FixedBytes..]);

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(destination, Step);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[4..], Steps);
        Preview.CopyTo(destination[FixedBytes..]);
    }
}
