using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Tensors;

/// <summary>Tensors ↔ JSON as the Open Inference Protocol v2 writes them. Reading trusts nothing and names what is wrong.</summary>
internal static class TensorJson
{
    private const int MaxRank = 8;
    private const int MaxTensors = 64;
    private const long MaxOutputElements = 16_000_000;

    /// <param name="bytes">An array of tensors, or an object with it under <c>inputs</c>.</param>
    /// <param name="specs">What the network takes.</param>
    /// <exception cref="InputException">Names the tensor and the field.</exception>
    public static TensorSet Read(ReadOnlyMemory<byte> bytes, IReadOnlyList<TensorSpec> specs)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(bytes);
        }
        catch (JsonException fault)
        {
            throw new InputException("input.inputs", $"is not JSON: {fault.Message}");
        }

        using (document)
        {
            var root = document.RootElement;
            var array = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("inputs", out var inner) ? inner : root;
            if (array.ValueKind != JsonValueKind.Array || array.GetArrayLength() is 0 or > MaxTensors)
            {
                throw new InputException("input.inputs", $"must be an array of 1 to {MaxTensors} tensors {{name, shape, datatype, data}}");
            }

            var tensors = new List<Tensor>();
            try
            {
                var index = 0;
                foreach (var json in array.EnumerateArray())
                {
                    tensors.Add(ReadOne(json, $"input.inputs[{index++}]", specs));
                }

                CheckNames(tensors, specs);
                return new TensorSet(tensors);
            }
            catch
            {
                tensors.ForEach(tensor => tensor.Dispose());
                throw;
            }
        }
    }

    public static void Write(Utf8JsonWriter json, TensorSet outputs)
    {
        json.WriteStartArray("outputs");
        foreach (var tensor in outputs)
        {
            var count = Tensor.Elements(tensor.Shape);
            if (count > MaxOutputElements)
            {
                throw new RuntimeException($"output '{tensor.Name}' has {count} numbers, too many for JSON; the limit is {MaxOutputElements}", retryable: false);
            }

            json.WriteStartObject();
            json.WriteString("name", tensor.Name);
            json.WriteString("datatype", tensor.Type.WireName());
            json.WriteStartArray("shape");
            foreach (var dimension in tensor.Shape)
            {
                json.WriteNumberValue(dimension);
            }

            json.WriteEndArray();
            json.WriteStartArray("data");
            WriteData(json, tensor);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static Tensor ReadOne(JsonElement json, string field, IReadOnlyList<TensorSpec> specs)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw new InputException(field, "must be an object {name, shape, datatype, data}");
        }

        var name = json.TryGetProperty("name", out var given) && given.ValueKind == JsonValueKind.String ? given.GetString()! : "";
        var spec = specs.FirstOrDefault(candidate => candidate.Name == name)
            ?? throw new InputException(field + ".name", $"must be one of the network's inputs: {string.Join(", ", specs.Select(s => s.Name))}");
        var type = json.TryGetProperty("datatype", out var datatype) && datatype.ValueKind == JsonValueKind.String ? datatype.GetString() : null;
        if (type != spec.Type.WireName())
        {
            throw new InputException(field + ".datatype", $"must be {spec.Type.WireName()}");
        }

        var shape = ReadShape(json, field, spec);
        if (!json.TryGetProperty("data", out var data) || data.ValueKind != JsonValueKind.Array)
        {
            throw new InputException(field + ".data", "must be an array of the tensor's elements, flat or nested");
        }

        return spec.Type == ElementType.Bytes ? ReadTexts(data, field, name, shape) : ReadNumbers(data, field, spec, shape);
    }

    private static long[] ReadShape(JsonElement json, string field, TensorSpec spec)
    {
        long[]? shape = null;
        if (json.TryGetProperty("shape", out var given) && given.ValueKind == JsonValueKind.Array && given.GetArrayLength() <= MaxRank
            && given.EnumerateArray().All(d => d.ValueKind == JsonValueKind.Number && d.TryGetInt32(out var length) && length >= 0))
        {
            shape = [.. given.EnumerateArray().Select(d => d.GetInt64())];
        }

        if (shape is null || shape.Length != spec.Shape.Length || shape.Zip(spec.Shape).Any(pair => pair.Second >= 0 && pair.First != pair.Second))
        {
            throw new InputException(field + ".shape", $"must be [{string.Join(',', spec.Shape)}], where -1 stands for any length");
        }

        return shape;
    }

    private static Tensor ReadNumbers(JsonElement data, string field, TensorSpec spec, long[] shape)
    {
        // Counted before anything is allocated: a shape is a few bytes, what it asks for need not be.
        var given = Count(data);
        if (given != Elements(shape))
        {
            throw new InputException(field + ".data", $"has {given} elements, but the shape [{string.Join(',', shape)}] needs {Elements(shape)}");
        }

        var tensor = Tensor.Rent(spec.Name, spec.Type, shape);
        var at = 0;
        try
        {
            Fill(data, tensor, ref at);
            return tensor;
        }
        catch (Exception fault) when (fault is FormatException or InvalidOperationException or OverflowException)
        {
            tensor.Dispose();
            throw new InputException($"{field}.data", $"element {at} is not a {spec.Type.WireName()}");
        }
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

    private static Tensor ReadTexts(JsonElement data, string field, string name, long[] shape)
    {
        using var stream = new MemoryStream();
        var count = 0L;
        AddTexts(data, field, stream, ref count);
        return count == Elements(shape)
            ? new Tensor(name, ElementType.Bytes, shape, stream.ToArray())
            : throw new InputException(field + ".data", $"has {count} elements, but the shape [{string.Join(',', shape)}] needs {Elements(shape)}");
    }

    private static void AddTexts(JsonElement data, string field, MemoryStream stream, ref long count)
    {
        Span<byte> length = stackalloc byte[4];
        foreach (var element in data.EnumerateArray())
        {
            if (element.ValueKind == JsonValueKind.Array)
            {
                AddTexts(element, field, stream, ref count);
                continue;
            }

            if (element.ValueKind != JsonValueKind.String)
            {
                throw new InputException(field + ".data", $"element {count} is not a text");
            }

            var text = Encoding.UTF8.GetBytes(element.GetString()!);
            BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)text.Length);
            stream.Write(length);
            stream.Write(text);
            count++;
        }
    }

    private static void CheckNames(List<Tensor> tensors, IReadOnlyList<TensorSpec> specs)
    {
        foreach (var spec in specs)
        {
            var given = tensors.Count(tensor => tensor.Name == spec.Name);
            if (given != 1)
            {
                throw new InputException("input.inputs", $"'{spec.Name}' must be given exactly once, and is {(given == 0 ? "missing" : $"given {given} times")}");
            }
        }
    }

    private static void WriteData(Utf8JsonWriter json, Tensor tensor)
    {
        switch (tensor.Type)
        {
            case ElementType.Bytes:
                WriteTexts(json, tensor.Bytes.Span);
                break;
            case ElementType.Bool:
                foreach (var value in tensor.As<byte>())
                {
                    json.WriteBooleanValue(value != 0);
                }

                break;
            case ElementType.UInt64:
                foreach (var value in tensor.As<ulong>())
                {
                    json.WriteNumberValue(value);
                }

                break;
            case ElementType.Int64:
                foreach (var value in tensor.As<long>())
                {
                    json.WriteNumberValue(value);
                }

                break;
            default:
                for (var index = 0; index < Tensor.Elements(tensor.Shape); index++)
                {
                    WriteNumber(json, tensor, index);
                }

                break;
        }
    }

    private static void WriteNumber(Utf8JsonWriter json, Tensor tensor, int index)
    {
        switch (tensor.Type)
        {
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
                json.WriteNullValue(); // JSON has no infinity and no NaN
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

    private static void WriteTexts(Utf8JsonWriter json, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var length = (int)BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            json.WriteStringValue(Encoding.UTF8.GetString(bytes.Slice(4, length)));
            bytes = bytes[(4 + length)..];
        }
    }

    private static long Count(JsonElement data) =>
        data.EnumerateArray().Sum(element => element.ValueKind == JsonValueKind.Array ? Count(element) : 1);

    private static double Elements(long[] shape) => shape.Aggregate(1d, (product, length) => product * length);
}
