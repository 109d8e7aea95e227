using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;

namespace Myelin.Protocol.Sidecars;

/// <summary>The head of an INFER or RESULT, checked as a whole and read in place; nothing is allocated.</summary>
public readonly ref struct CallHead
{
    /// <summary>Bytes before the tensors.</summary>
    public const int FixedBytes = 24;

    private readonly ReadOnlySpan<byte> _tensors;

    private CallHead(ReadOnlySpan<byte> payload, int count, ReadOnlySpan<byte> tensors, ReadOnlySpan<byte> parameters, ulong tensorBytes)
    {
        Model = BinaryPrimitives.ReadUInt16LittleEndian(payload);
        Time = BinaryPrimitives.ReadUInt64LittleEndian(payload[8..]);
        Inline = BinaryPrimitives.ReadUInt64LittleEndian(payload[16..]);
        Count = count;
        Parameters = parameters;
        Total = tensorBytes;
        _tensors = tensors;
    }

    /// <summary>Index into READY's list; 0 in RESULT.</summary>
    public ushort Model { get; }

    public int Count { get; }

    /// <summary>INFER: milliseconds the caller waits, 0 without limit. RESULT: nanoseconds that computing took.</summary>
    public ulong Time { get; }

    /// <summary>Bytes that follow in DATA frames. Not checked against the agreed limit: too much is an answer, not a bad frame.</summary>
    public ulong Inline { get; }

    /// <summary>Inline bytes and ring bytes together, as the agreed limit counts them.</summary>
    public ulong Total { get; }

    /// <summary>A JSON object, or nothing for <c>{}</c>.</summary>
    public ReadOnlySpan<byte> Parameters { get; }

    public Enumerator GetEnumerator() => new(_tensors, Count);

    /// <param name="payload">The frame's payload.</param>
    /// <param name="part">The sender's part of the ring; null where there is no ring.</param>
    /// <exception cref="BadFrameException">Says which tensor breaks which rule.</exception>
    public static CallHead Read(ReadOnlySpan<byte> payload, RingPart? part)
    {
        if (payload.Length < FixedBytes)
        {
            throw new BadFrameException($"a head of {payload.Length} bytes");
        }

        var count = BinaryPrimitives.ReadUInt16LittleEndian(payload[2..]);
        var parameterBytes = BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]);
        var inline = BinaryPrimitives.ReadUInt64LittleEndian(payload[16..]);
        if (count > SidecarLimits.Tensors || parameterBytes > SidecarLimits.Json)
        {
            throw new BadFrameException($"{count} tensors and {parameterBytes} bytes of parameters; at most {SidecarLimits.Tensors} and {SidecarLimits.Json}");
        }

        var check = new TensorCheck(inline, part);
        var at = FixedBytes;
        for (var i = 0; i < count; i++)
        {
            at += check.Next(payload, at, i);
        }

        if (at + parameterBytes != payload.Length)
        {
            throw new BadFrameException($"the head has {payload.Length} bytes; its parts have {at + parameterBytes}");
        }

        var parameters = payload[at..];
        if (!parameters.IsEmpty)
        {
            JsonObject(parameters, "the parameters");
        }

        return new CallHead(payload, count, payload[FixedBytes..at], parameters, check.Total);
    }

    /// <summary>Checks that the text is one JSON object in UTF-8, nested at most <see cref="Limits.JsonDepth"/> deep.</summary>
    internal static void JsonObject(ReadOnlySpan<byte> text, string what)
    {
        try
        {
            var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = Limits.JsonDepth });
            if (Utf8.IsValid(text) && reader.Read() && reader.TokenType == JsonTokenType.StartObject)
            {
                reader.Skip();
                if (!reader.Read())
                {
                    return;
                }
            }
        }
        catch (JsonException)
        {
            // said below, in one form
        }

        throw new BadFrameException($"{what}: no JSON object in UTF-8");
    }

    /// <summary>The tensors in their order.</summary>
    public ref struct Enumerator
    {
        private ReadOnlySpan<byte> _rest;
        private int _left;

        internal Enumerator(ReadOnlySpan<byte> tensors, int count)
        {
            _rest = tensors;
            _left = count;
        }

        public TensorHead Current { get; private set; }

        public bool MoveNext()
        {
            if (_left-- <= 0)
            {
                return false;
            }

            Current = new TensorHead(_rest);
            _rest = _rest[TensorHead.Size(_rest[0], _rest[2])..];
            return true;
        }
    }
}
