using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Inference.Tasks.Tensors;

/// <summary>Tensors ↔ JSON as the Open Inference Protocol v2 writes them. Reading trusts nothing and names what is wrong.</summary>
internal static class TensorJson
{
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
            if (array.ValueKind != JsonValueKind.Array || array.GetArrayLength() is 0 or > OipLimits.MaxTensors)
            {
                throw new InputException("input.inputs", $"must be an array of 1 to {OipLimits.MaxTensors} tensors {{name, shape, datatype, data}}");
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
            json.WriteStartObject();
            OipTensor.WriteHead(json, tensor.Name, tensor.Type, tensor.Shape);
            TensorData.Write(json, tensor);
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

        var name = json.Text("name");
        var spec = specs.FirstOrDefault(candidate => candidate.Name == name)
            ?? throw new InputException(field + ".name", $"must be one of the network's inputs: {string.Join(", ", specs.Select(s => s.Name))}");
        if (json.Text("datatype") != spec.Type.WireName())
        {
            throw new InputException(field + ".datatype", $"must be {spec.Type.WireName()}");
        }

        try
        {
            var shape = OipShape.Read(json, field);
            if (shape.Length != spec.Shape.Length || shape.Zip(spec.Shape).Any(pair => pair.Second >= 0 && pair.First != pair.Second))
            {
                throw WrongShape(field, spec);
            }

            json.TryGetProperty("data", out var data);
            return TensorData.Read(data, spec.Name, spec.Type, shape, field);
        }
        catch (OipException wrong)
        {
            throw wrong.Field.EndsWith(".shape", StringComparison.Ordinal) ? WrongShape(field, spec) : new InputException(wrong.Field, wrong.Problem);
        }
    }

    private static InputException WrongShape(string field, TensorSpec spec) =>
        new(field + ".shape", $"must be [{string.Join(',', spec.Shape)}], where -1 stands for any length");

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
}
