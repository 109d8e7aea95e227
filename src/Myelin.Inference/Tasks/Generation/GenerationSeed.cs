using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>
/// Seeds of generations. Who accepts a job calls <see cref="Settle"/> before storing it: a second attempt of the job
/// then gives the same picture as the first would have.
/// </summary>
public static class GenerationSeed
{
    private const string Name = "seed";

    /// <summary>A fresh seed, 0 to 2³²−1: PyTorch's generator takes no more.</summary>
    public static ulong Pick() => BitConverter.ToUInt32(RandomNumberGenerator.GetBytes(4));

    /// <summary>The parameters with a seed picked where the caller left it open; anything else comes back as it is.</summary>
    public static JsonElement Settle(JsonElement parameters)
    {
        var given = parameters.ValueKind switch
        {
            JsonValueKind.Object => JsonObject.Create(parameters)!,
            JsonValueKind.Undefined or JsonValueKind.Null => [],
            _ => null,
        };
        if (given is null || (given.TryGetPropertyValue(Name, out _) && !IsOpen(parameters)))
        {
            return parameters;
        }

        given[Name] = Pick();
        return JsonSerializer.SerializeToElement(given);
    }

    internal static ulong? Of(JsonElement parameters) =>
        parameters.ValueKind == JsonValueKind.Object && parameters.TryGetProperty(Name, out var seed) && seed.ValueKind == JsonValueKind.Number && seed.GetDouble() >= 0
            ? (ulong)seed.GetDouble()
            : null;

    private static bool IsOpen(JsonElement parameters) => parameters.GetProperty(Name) is { } seed
        && (seed.ValueKind == JsonValueKind.Null || (seed.ValueKind == JsonValueKind.Number && seed.GetDouble() == -1));
}
