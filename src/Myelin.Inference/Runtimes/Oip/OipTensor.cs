using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>One tensor as a message's JSON describes it: with its elements, or with the bytes it has after the JSON.</summary>
/// <param name="Field">Where it stands, such as <c>inputs[0]</c>.</param>
/// <param name="Bytes">Its bytes after the JSON; null where <paramref name="Data"/> holds the elements.</param>
/// <param name="Data"><c>data</c>; undefined where it is not there.</param>
internal readonly record struct OipTensor(string Field, string Name, ElementType Type, long[] Shape, int? Bytes, JsonElement Data)
{
    /// <summary>Reads the array under <paramref name="key"/>; every size is checked against what its shape needs.</summary>
    /// <param name="left">Bytes that may follow the JSON.</param>
    /// <exception cref="OipException">Names the tensor and the field.</exception>
    public static OipTensor[] ReadAll(JsonElement message, string key, long left)
    {
        if (!message.TryGetProperty(key, out var array) || array.ValueKind != JsonValueKind.Array || array.GetArrayLength() > OipLimits.MaxTensors)
        {
            throw new OipException(key, $"must be an array of at most {OipLimits.MaxTensors} tensors {{name, shape, datatype, data}}");
        }

        var tensors = new OipTensor[array.GetArrayLength()];
        for (var index = 0; index < tensors.Length; index++)
        {
            var field = $"{key}[{index}]";
            var tensor = Read(array[index], field);
            if (Array.Exists(tensors, other => other.Name == tensor.Name))
            {
                throw new OipException(field + ".name", $"'{tensor.Name}' is given twice");
            }

            left -= tensor.Bytes ?? 0;
            if (left < 0)
            {
                throw new OipException(field + ".parameters.binary_data_size", "asks for more bytes than the body has left, or may have");
            }

            tensors[index] = tensor;
        }

        return tensors;
    }

    public static void WriteSpecs(Utf8JsonWriter json, string key, IReadOnlyList<TensorSpec> specs)
    {
        json.WriteStartArray(key);
        foreach (var spec in specs)
        {
            json.WriteStartObject();
            WriteHead(json, spec.Name, spec.Type, spec.Shape);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    public static void WriteHead(Utf8JsonWriter json, string name, ElementType type, long[] shape)
    {
        json.WriteString("name", name);
        json.WriteString("datatype", type.WireName());
        json.WriteStartArray("shape");
        foreach (var length in shape)
        {
            json.WriteNumberValue(length);
        }

        json.WriteEndArray();
    }

    private static OipTensor Read(JsonElement json, string field)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw new OipException(field, "must be an object {name, shape, datatype, data}");
        }

        if (json.Text("name") is not { Length: > 0 } name)
        {
            throw new OipException(field + ".name", "must be the tensor's name");
        }

        if (!ElementTypes.TryParse(json.Text("datatype"), out var type))
        {
            throw new OipException(field + ".datatype", $"must be one of {string.Join(", ", Enum.GetValues<ElementType>().Select(t => t.WireName()))}");
        }

        var shape = OipShape.Read(json, field);
        json.TryGetProperty("data", out var data);
        return new OipTensor(field, name, type, shape, ReadBytes(json, field, type, shape), data);
    }

    private static int? ReadBytes(JsonElement json, string field, ElementType type, long[] shape)
    {
        if (!json.TryGetProperty("parameters", out var parameters) || parameters.ValueKind != JsonValueKind.Object)
        {
            return null;
        }

        if (parameters.TryGetProperty("shared_memory_region", out _))
        {
            throw new OipException(field, "lies in shared memory, which this end does not offer; send the bytes", unsupported: true);
        }

        if (!parameters.TryGetProperty("binary_data_size", out var given))
        {
            return null;
        }

        if (given.ValueKind != JsonValueKind.Number || !given.TryGetInt32(out var size) || size < 0)
        {
            throw new OipException(field + ".parameters.binary_data_size", $"must be a whole number of bytes from 0 to {int.MaxValue}");
        }

        // BYTES elements take what they take, but never less than their lengths.
        var perElement = type == ElementType.Bytes ? 4 : type.Size();
        if (!OipShape.TryCount(shape, out var count) || count > int.MaxValue || (type == ElementType.Bytes ? size < count * perElement : size != count * perElement))
        {
            throw new OipException(
                field + ".parameters.binary_data_size", $"is {size}, which is not what {type.WireName()} of shape [{string.Join(',', shape)}] takes");
        }

        return size;
    }
}
