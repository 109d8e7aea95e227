using System.Buffers;
using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>
/// Reads a message off a body, of either direction: the JSON first, then each binary tensor from the stream into memory
/// of its own, without a block in between. Nothing is allocated that a limit, the JSON and the body's length do not allow.
/// </summary>
internal static class OipReader
{
    /// <summary>Carries the bytes of JSON before the binary tensors; absent where all is JSON, 0 for a raw request.</summary>
    public const string HeadLengthHeader = "Inference-Header-Content-Length";

    private const long MaxTimeout = 30L * 24 * 3600 * 1_000_000; // a month of microseconds; more is no limit at all

    public static JsonDocumentOptions JsonOptions { get; } = new() { MaxDepth = OipLimits.MaxDepth };

    /// <param name="body">Read to its end.</param>
    /// <param name="headLength"><see cref="HeadLengthHeader"/>, or null.</param>
    /// <param name="bodyLength"><c>Content-Length</c>; null where it was not said.</param>
    /// <param name="key"><c>inputs</c> of a request, <c>outputs</c> of an answer.</param>
    /// <exception cref="OipException">The message is wrong, cut short or over a limit.</exception>
    public static async ValueTask<OipMessage> ReadAsync(
        Stream body, long? headLength, long? bodyLength, string key, OipLimits limits, CancellationToken cancellationToken)
    {
        if (bodyLength > limits.MaxBytes)
        {
            throw new OipException("body", $"has {bodyLength} bytes; the limit is {limits.MaxBytes}");
        }

        if (headLength is { } head && (head <= 0 || head > limits.MaxJsonBytes || head > (bodyLength ?? long.MaxValue)))
        {
            throw new OipException(HeadLengthHeader, $"is {head}; it must be from 1 to the body's length, and at most {limits.MaxJsonBytes}");
        }

        var known = headLength ?? bodyLength;
        if (known > limits.MaxJsonBytes)
        {
            throw new OipException("body", $"has {known} bytes of JSON; the limit is {limits.MaxJsonBytes}; larger tensors go as binary data");
        }

        var json = ArrayPool<byte>.Shared.Rent((int)(known ?? 16 << 10));
        try
        {
            int length;
            (json, length) = known is null
                ? await ReadToEndAsync(body, json, limits.MaxJsonBytes, cancellationToken).ConfigureAwait(false)
                : (json, await ReadExactlyAsync(body, json.AsMemory(0, (int)known), "JSON", cancellationToken).ConfigureAwait(false));
            using var document = Parse(json.AsMemory(0, length));
            var left = headLength is null ? 0 : (bodyLength ?? limits.MaxBytes) - length;
            var message = Describe(document.RootElement, key, left, out var tensors);
            var taken = tensors.Sum(tensor => (long)(tensor.Bytes ?? 0));
            if (headLength is not null && bodyLength is not null && taken != left)
            {
                throw new OipException("body", $"has {left} bytes after the JSON, and its tensors take {taken}");
            }

            var set = await ReadTensorsAsync(body, tensors, cancellationToken).ConfigureAwait(false);
            try
            {
                await ExpectEndAsync(body, cancellationToken).ConfigureAwait(false);
                return message with { Tensors = set };
            }
            catch
            {
                set.Dispose();
                throw;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(json);
        }
    }

    /// <summary>Fills the memory of a tensor from the body.</summary>
    /// <exception cref="OipException">The body ends before.</exception>
    public static async ValueTask<int> ReadExactlyAsync(Stream body, Memory<byte> memory, string what, CancellationToken cancellationToken)
    {
        var read = await body.ReadAtLeastAsync(memory, memory.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
        return read == memory.Length ? read : throw new OipException("body", $"ends after {read} of the {memory.Length} bytes of {what}");
    }

    /// <exception cref="OipException">Bytes are left.</exception>
    public static async ValueTask ExpectEndAsync(Stream body, CancellationToken cancellationToken)
    {
        // Also what hands a connection back to its pool: a body counts as read when its end was seen.
        var one = ArrayPool<byte>.Shared.Rent(1);
        try
        {
            if (await body.ReadAsync(one.AsMemory(0, 1), cancellationToken).ConfigureAwait(false) != 0)
            {
                throw new OipException("body", "goes on after its last tensor");
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(one);
        }
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> json)
    {
        try
        {
            return JsonDocument.Parse(json, JsonOptions);
        }
        catch (JsonException fault)
        {
            throw new OipException("body", $"is not JSON: {fault.Message}");
        }
    }

    /// <summary>All but the tensors' bytes.</summary>
    private static OipMessage Describe(JsonElement root, string key, long left, out OipTensor[] tensors)
    {
        try
        {
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new OipException("body", "must be a JSON object");
            }

            tensors = OipTensor.ReadAll(root, key, left);
            var parameters = root.Object("parameters");
            return new OipMessage
            {
                Id = root.Text("id"),
                Call = parameters.Text(OipExtensions.Call),
                Timeout = parameters.Number(OipWriter.TimeoutParameter) is > 0 and var timeout and < MaxTimeout ? TimeSpan.FromMicroseconds(timeout) : Timeout.InfiniteTimeSpan,
                Parameters = Own(parameters),
                Requested = key == "inputs" ? ReadRequested(root) : [],
                BinaryOutput = parameters.Flag(OipWriter.BinaryOutputParameter) ?? false,
            };
        }
        catch (InvalidOperationException fault)
        {
            throw new OipException("body", $"has a text that is none: {fault.Message}"); // half a surrogate pair, written as an escape
        }
    }

    private static JsonElement Own(JsonElement parameters)
    {
        foreach (var parameter in parameters.EnumerateObject())
        {
            if (!parameter.NameEquals(OipWriter.BinaryOutputParameter) && !parameter.NameEquals(OipWriter.TimeoutParameter) && !parameter.NameEquals(OipExtensions.Call))
            {
                return parameters.Clone();
            }
        }

        return OipJson.Empty;
    }

    private static List<OipRequestedOutput> ReadRequested(JsonElement root)
    {
        var requested = new List<OipRequestedOutput>();
        if (!root.TryGetProperty("outputs", out var array))
        {
            return requested;
        }

        if (array.ValueKind != JsonValueKind.Array || array.GetArrayLength() > OipLimits.MaxTensors)
        {
            throw new OipException("outputs", $"must be an array of at most {OipLimits.MaxTensors} objects {{name, parameters}}");
        }

        foreach (var output in array.EnumerateArray())
        {
            var field = $"outputs[{requested.Count}]";
            var name = output.Text("name") ?? throw new OipException(field + ".name", "must be the output's name");
            if (requested.Exists(other => other.Name == name))
            {
                throw new OipException(field + ".name", $"'{name}' is asked for twice");
            }

            var parameters = output.Object("parameters");
            if (parameters.TryGetProperty("classification", out _) || parameters.TryGetProperty("shared_memory_region", out _))
            {
                throw new OipException(field, "asks for an extension that this end does not offer (classification, shared memory)", unsupported: true);
            }

            requested.Add(new OipRequestedOutput(name, parameters.Flag("binary_data")));
        }

        return requested;
    }

    private static async ValueTask<TensorSet> ReadTensorsAsync(Stream body, OipTensor[] heads, CancellationToken cancellationToken)
    {
        var tensors = new List<Tensor>(heads.Length);
        try
        {
            foreach (var head in heads)
            {
                if (head.Bytes is not { } size)
                {
                    tensors.Add(TensorData.Read(head.Data, head.Name, head.Type, head.Shape, head.Field));
                    continue;
                }

                var rented = MemoryPool<byte>.Shared.Rent(Math.Max(size, 1));
                var tensor = new Tensor(head.Name, head.Type, head.Shape, rented.Memory[..size], rented);
                tensors.Add(tensor);
                await ReadExactlyAsync(body, tensor.Bytes, $"tensor '{head.Name}'", cancellationToken).ConfigureAwait(false);
                if (head.Type == ElementType.Bytes && (!OipShape.TryCount(head.Shape, out var count) || !ElementsOfBytes.Fill(tensor.Bytes.Span, count)))
                {
                    throw new OipException(head.Field, $"has elements that do not fill its {size} bytes; each is a little-endian u32 length and that many bytes");
                }
            }

            return new TensorSet(tensors);
        }
        catch
        {
            tensors.ForEach(tensor => tensor.Dispose());
            throw;
        }
    }

    private static async ValueTask<(byte[] Json, int Length)> ReadToEndAsync(Stream body, byte[] buffer, int limit, CancellationToken cancellationToken)
    {
        var length = 0;
        while (await body.ReadAsync(buffer.AsMemory(length), cancellationToken).ConfigureAwait(false) is > 0 and var read)
        {
            length += read;
            if (length > limit)
            {
                throw new OipException("body", $"has more than {limit} bytes of JSON");
            }

            if (length == buffer.Length)
            {
                var larger = ArrayPool<byte>.Shared.Rent(length * 2);
                buffer.AsSpan(0, length).CopyTo(larger);
                buffer = larger; // the caller returns the first one if this throws, so it is left to the collector
            }
        }

        return (buffer, length);
    }
}
