using System.Text.Json;
using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>Typed reads of a network's <c>config.json</c>; a wrong value becomes an error and reads as the fallback.</summary>
internal sealed class ConfigReader(JsonElement root, string file, List<ModelError> errors)
{
    public int Integer(string key, int fallback) => Optional(key) ?? fallback;

    /// <summary>A whole number from 1 to 65,536, or null where absent.</summary>
    public int? Optional(string key) =>
        Get(key) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number is >= 1 and <= 65_536 ? number
        : Wrong<int?>(key, "must be a whole number from 1 to 65536");

    public double? Number(string key) =>
        Get(key) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && double.IsFinite(value.GetDouble()) ? value.GetDouble()
        : Wrong<double?>(key, "must be a finite number");

    /// <summary>One number for both, or a list of height and width.</summary>
    public (int Height, int Width) Pair(string key, int fallback)
    {
        if (Get(key) is { ValueKind: JsonValueKind.Array } list)
        {
            return list.GetArrayLength() == 2 && Whole(list[0], out var height) && Whole(list[1], out var width) && height > 0 && width > 0
                ? (height, width)
                : Wrong<(int, int)>(key, "must be a number or a list of height and width");
        }

        var side = Integer(key, fallback);
        return (side, side);
    }

    /// <summary>A whole number, or the first of a list of them; the fallback where there is neither.</summary>
    public int First(string key, int fallback) =>
        Get(key) is not { } value ? fallback
        : value.ValueKind == JsonValueKind.Array ? value.GetArrayLength() > 0 && Whole(value[0], out var first) ? first : fallback
        : Whole(value, out var number) ? number : fallback;

    /// <summary>Where in a list of names the first stands that holds <paramref name="part"/>; 0 where none does.</summary>
    public int Position(string key, string part) => Get(key) is { ValueKind: JsonValueKind.Array } list
        ? Math.Max(0, list.EnumerateArray().ToList().FindIndex(v => v.ValueKind == JsonValueKind.String && v.GetString()!.Contains(part, StringComparison.Ordinal)))
        : 0;

    /// <summary>How many entries a list has.</summary>
    public int Length(string key, int fallback) => Get(key) is { ValueKind: JsonValueKind.Array } list ? list.GetArrayLength() : fallback;

    /// <summary>The last number of a list, 0 where there is none.</summary>
    public int Last(string key) =>
        Get(key) is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0 && Whole(list[list.GetArrayLength() - 1], out var last) ? last : 0;

    private static bool Whole(JsonElement value, out int number)
    {
        number = 0;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out number);
    }

    /// <summary>Numbers per channel, or null where absent.</summary>
    public float[]? Numbers(string key, int count)
    {
        if (Get(key) is not { } list)
        {
            return null;
        }

        return list.ValueKind == JsonValueKind.Array && list.GetArrayLength() == count && list.EnumerateArray().All(v => v.ValueKind == JsonValueKind.Number)
            ? [.. list.EnumerateArray().Select(v => v.GetSingle())]
            : Wrong<float[]?>(key, $"must be a list of {count} numbers");
    }

    private JsonElement? Get(string key) =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private T? Wrong<T>(string key, string message)
    {
        errors.Add(new ModelError(file, key, message));
        return default;
    }
}
