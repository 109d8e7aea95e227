using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>The elements of tensors ↔ JSON's <c>data</c>: row-major, nested or flat. Reading trusts nothing.</summary>
internal static class TensorData
{
    private const long MaxElementsWritten = 16_000_000;
    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <exception cref="OipException">There are not as many elements as the shape asks for, or one is of another type.</exception>
    public static Tensor Read(JsonElement data, string name, ElementType type, long[] shape, string field)
    {
        field += ".data";
        if (data.ValueKind != JsonValueKind.Array)
        {
            throw new OipException(field, "must be an array of the tensor's elements, flat or nested");
        }

        // Counted before anything is allocated: a shape is a few bytes, what it asks for need not be.
        var given = Count(data);
        var countable = OipShape.TryCount(shape, out var needed);
        if (!countable || given != needed)
        {
            throw new OipException(field, $"has {given} elements, but the shape [{string.Join(',', shape)}] needs {(countable ? needed.ToString(CultureInfo.InvariantCulture) : "more than there can be")}");
        }

        var at = 0;
        Tensor? tensor = null;
        try
        {
            if (type == ElementType.Bytes)
            {
                var texts = new ArrayBufferWriter<byte>();
                AddTexts(data, texts, ref at);
                return new Tensor(name, type, shape, texts.WrittenMemory.ToArray());
            }

            tensor = Tensor.Rent(name, type, shape);
            Fill(data, tensor, ref at);
            return tensor;
        }
        catch (Exception fault) when (fault is FormatException or InvalidOperationException or OverflowException)
        {
            tensor?.Dispose();
            throw new OipException(field, $"element {at} is not a {(type == ElementType.Bytes ? "text" : type.WireName())}");
        }
    }

    /// <summary>Writes <c>"data":[…]</c>, flat. Numbers that JSON does not have (infinities, NaN) become null.</summary>
    /// <exception cref="RuntimeException">Too many elements, or bytes that are no text.</exception>
    public static void Write(Utf8JsonWriter json, Tensor tensor)
    {
        var count = Tensor.Elements(tensor.Shape);
        if (count > MaxElementsWritten)
        {
            throw new RuntimeException($"output '{tensor.Name}' has {count} elements, too many for JSON; the limit is {MaxElementsWritten}", retryable: false);
        }

        json.WriteStartArray("data");
        if (tensor.Type == ElementType.Bytes)
        {
            WriteTexts(json, tensor);
        }
        else
        {
            for (var index = 0; index < count; index++)
            {
                WriteNumber(json, tensor, index);
            }
        }

        json.WriteEndArray();
    }

    private static long Count(JsonElement data)
    {
        var count = 0L;
        foreach (var element in data.EnumerateArray())
        {
            count += element.ValueKind == JsonValueKind.Array ? Count(element) : 1;
        }

        return count;
    }

    private static void Fill(JsonElement data, Tensor tensor, ref int at)
    {
        foreach (var element in data.EnumerateArray())
        {
            if (element.ValueKind == JsonValueKind.Array)
            {
                Fill(element, tensor, ref at);
                continue;
            }

            switch (tensor.Type)
            {
                case ElementType.Bool:
                    tensor.As<byte>()[at] = element.GetBoolean() ? (byte)1 : (byte)0;
                    break;
                case ElementType.UInt8:
                    tensor.As<byte>()[at] = element.GetByte();
                    break;
                case ElementType.UInt16:
                    tensor.As<ushort>()[at] = element.GetUInt16();
                    break;
                case ElementType.UInt32:
                    tensor.As<uint>()[at] = element.GetUInt32();
                    break;
                case ElementType.UInt64:
                    tensor.As<ulong>()[at] = element.GetUInt64();
                    break;
                case ElementType.Int8:
                    tensor.As<sbyte>()[at] = element.GetSByte();
                    break;
                case ElementType.Int16:
                    tensor.As<short>()[at] = element.GetInt16();
                    break;
                case ElementType.Int32:
                    tensor.As<int>()[at] = element.GetInt32();
                    break;
                case ElementType.Int64:
                    tensor.As<long>()[at] = element.GetInt64();
                    break;
                case ElementType.Float16:
                    tensor.As<Half>()[at] = (Half)element.GetDouble();
                    break;
                case ElementType.Float32:
                    tensor.As<float>()[at] = element.GetSingle();
                    break;
                default:
                    tensor.As<double>()[at] = element.GetDouble();
                    break;
            }

            at++;
        }
    }

    private static void AddTexts(JsonElement data, ArrayBufferWriter<byte> texts, ref int at)
    {
        foreach (var element in data.EnumerateArray())
        {
            if (element.ValueKind == JsonValueKind.Array)
            {
                AddTexts(element, texts, ref at);
                continue;
            }

            var text = element.GetString() ?? throw new FormatException("null");
            var length = Encoding.UTF8.GetByteCount(text);
            var span = texts.GetSpan(4 + length);
            BinaryPrimitives.WriteUInt32LittleEndian(span, (uint)length);
            Encoding.UTF8.GetBytes(text, span[4..]);
            texts.Advance(4 + length);
            at++;
        }
    }

    private static void WriteTexts(Utf8JsonWriter json, Tensor tensor)
    {
        ReadOnlySpan<byte> rest = tensor.Bytes.Span;
        try
        {
            while (ElementsOfBytes.TryTake(ref rest, out var element))
            {
                json.WriteStringValue(s_strict.GetString(element));
            }
        }
        catch (DecoderFallbackException fault)
        {
            throw new RuntimeException($"output '{tensor.Name}' holds bytes that are no text, which JSON cannot carry; binary output can", retryable: false, fault);
        }
    }

    private static void WriteNumber(Utf8JsonWriter json, Tensor tensor, int index)
    {
        switch (tensor.Type)
        {
            case ElementType.Bool:
                json.WriteBooleanValue(tensor.As<byte>()[index] != 0);
                break;
            case ElementType.UInt64:
                json.WriteNumberValue(tensor.As<ulong>()[index]);
                break;
            case ElementType.Int64:
                json.WriteNumberValue(tensor.As<long>()[index]);
                break;
            case ElementType.Float32 when float.IsFinite(tensor.As<float>()[index]):
                json.WriteNumberValue(tensor.As<float>()[index]);
                break;
            case ElementType.Float64 when double.IsFinite(tensor.As<double>()[index]):
                json.WriteNumberValue(tensor.As<double>()[index]);
                break;
            case ElementType.Float16 when Half.IsFinite(tensor.As<Half>()[index]):
                json.WriteNumberValue((float)tensor.As<Half>()[index]);
                break;
            case ElementType.Float16 or ElementType.Float32 or ElementType.Float64:
                json.WriteNullValue();
                break;
            default:
                json.WriteNumberValue(tensor.Type switch
                {
                    ElementType.UInt8 => tensor.As<byte>()[index],
                    ElementType.UInt16 => tensor.As<ushort>()[index],
                    ElementType.UInt32 => tensor.As<uint>()[index],
                    ElementType.Int8 => tensor.As<sbyte>()[index],
                    ElementType.Int16 => tensor.As<short>()[index],
                    _ => (long)tensor.As<int>()[index],
                });
                break;
        }
    }
}
