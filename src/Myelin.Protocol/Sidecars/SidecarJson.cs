using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Myelin.Protocol.Sidecars;

/// <summary>JSON of the protocol's frames: objects in UTF-8, unknown keys ignored.</summary>
internal static class SidecarJson
{
    /// <exception cref="BadFrameException">It is no JSON object, or a key has a value of another type.</exception>
    public static T Read<T>(ReadOnlySpan<byte> text, JsonTypeInfo<T> type, string frame)
    {
        CallHead.JsonObject(text, frame);
        try
        {
            return JsonSerializer.Deserialize(text, type) ?? throw new BadFrameException($"{frame}: null");
        }
        catch (JsonException fault)
        {
            throw new BadFrameException($"{frame}: {fault.Message}");
        }
    }
}

/// <summary>Source-generated JSON of the sidecar protocol; nulls are written, so that <c>"task": null</c> is said.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, MaxDepth = Limits.JsonDepth)]
[JsonSerializable(typeof(WorkerHello))]
[JsonSerializable(typeof(SidecarHello))]
[JsonSerializable(typeof(Ready))]
[JsonSerializable(typeof(SidecarError))]
public sealed partial class SidecarJsonContext : JsonSerializerContext;
