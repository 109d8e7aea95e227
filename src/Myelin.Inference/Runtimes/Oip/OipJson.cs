using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>Reads of untrusted JSON objects that answer null instead of throwing.</summary>
internal static class OipJson
{
    /// <summary>An object without members.</summary>
    public static JsonElement Empty { get; } = JsonDocument.Parse("{}").RootElement;

    public static string? Text(this JsonElement json, string key)
    {
        try
        {
            return json.ValueKind == JsonValueKind.Object && json.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String
                ? value.GetString()
                : null;
        }
        catch (InvalidOperationException)
        {
            return null; // half a surrogate pair, written as an escape: valid JSON, and no text
        }
    }

    public static bool? Flag(this JsonElement json, string key) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(key, out var value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : null;

    public static long? Number(this JsonElement json, string key) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number)
            ? number
            : null;

    /// <summary>An object under <paramref name="key"/>, or an empty one where there is none.</summary>
    /// <exception cref="OipException">Something else is there.</exception>
    public static JsonElement Object(this JsonElement json, string key) => json.TryGetProperty(key, out var value) switch
    {
        false => Empty,
        true when value.ValueKind == JsonValueKind.Object => value,
        _ => throw new OipException(key, "must be an object"),
    };
}
