using System.Buffers;
using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>Writes the JSON of messages. Binary tensors are only announced: their memory follows as it is.</summary>
internal static class OipWriter
{
    /// <summary>The protocol's: all outputs as bytes, unless one says otherwise.</summary>
    public const string BinaryOutputParameter = "binary_data_output";

    /// <summary>The protocol's: microseconds that the caller waits.</summary>
    public const string TimeoutParameter = "timeout";

    /// <summary>The JSON of a request whose inputs all follow as bytes and whose outputs shall come so.</summary>
    /// <param name="call"><see cref="OipExtensions.Call"/>; null where nobody follows.</param>
    /// <param name="timeout">What the server is told of the caller's patience; infinite for nothing.</param>
    public static ReadOnlyMemory<byte> Request(IReadOnlyList<Tensor> inputs, string? call, TimeSpan timeout)
    {
        var buffer = new ArrayBufferWriter<byte>(256 * (inputs.Count + 1));
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartObject("parameters");
        json.WriteBoolean(BinaryOutputParameter, true);
        if (timeout > TimeSpan.Zero)
        {
            json.WriteNumber(TimeoutParameter, (long)timeout.TotalMicroseconds);
        }

        if (call is not null)
        {
            json.WriteString(OipExtensions.Call, call);
        }

        json.WriteEndObject();
        json.WriteStartArray("inputs");
        foreach (var input in inputs)
        {
            WriteTensor(json, input, binary: true);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenMemory;
    }

    /// <summary>The JSON of an answer; outputs for which <paramref name="binary"/> holds follow as bytes, in order.</summary>
    /// <exception cref="RuntimeException">An output cannot be written as JSON.</exception>
    public static ReadOnlyMemory<byte> Answer(
        string model, string version, string? id, TimeSpan compute, IReadOnlyList<Tensor> outputs, Func<Tensor, bool> binary)
    {
        var buffer = new ArrayBufferWriter<byte>(256 * (outputs.Count + 1));
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteString("model_name", model);
        json.WriteString("model_version", version);
        if (id is not null)
        {
            json.WriteString("id", id);
        }

        json.WriteStartObject("parameters");
        json.WriteNumber(OipExtensions.Compute, compute.Ticks * TimeSpan.NanosecondsPerTick);
        json.WriteEndObject();
        json.WriteStartArray("outputs");
        foreach (var output in outputs)
        {
            WriteTensor(json, output, binary(output));
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenMemory;
    }

    private static void WriteTensor(Utf8JsonWriter json, Tensor tensor, bool binary)
    {
        json.WriteStartObject();
        OipTensor.WriteHead(json, tensor.Name, tensor.Type, tensor.Shape);
        if (binary)
        {
            json.WriteStartObject("parameters");
            json.WriteNumber("binary_data_size", tensor.Bytes.Length);
            json.WriteEndObject();
        }
        else
        {
            TensorData.Write(json, tensor);
        }

        json.WriteEndObject();
    }
}
