using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Inference;

/// <summary>Recorded references under <c>Inference/Goldens</c>, one file a task, by <c>model/sample</c>.</summary>
internal static class Goldens
{
    private static readonly Lock s_gate = new();
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    /// <summary>The reference of <paramref name="key"/>; when recording, writes what was found and the annotated picture instead.</summary>
    public static JsonElement Compare(string file, string key, JsonElement found, ReadOnlyMemory<byte> annotated)
    {
        if (Show(file, key, found, annotated))
        {
            return found;
        }

        var path = Path.Combine(Shared.Root, "tests", "Myelin.Tests", "Inference", "Goldens", file + ".json");
        using var json = JsonDocument.Parse(File.ReadAllText(path));
        Assert.True(json.RootElement.TryGetProperty(key, out var reference), $"{file}.json has no reference '{key}'");
        return reference.Clone();
    }

    /// <summary>When recording, writes what was found and the annotated picture, for a person to look at.</summary>
    public static bool Show(string file, string key, JsonElement found, ReadOnlyMemory<byte> annotated)
    {
        if (Environment.GetEnvironmentVariable("MYELIN_RECORD") is not { Length: > 0 } folder)
        {
            return false;
        }

        Record(folder, file, key, found, annotated);
        return true;
    }

    private static void Record(string folder, string file, string key, JsonElement found, ReadOnlyMemory<byte> annotated)
    {
        lock (s_gate)
        {
            Directory.CreateDirectory(folder);
            var path = Path.Combine(folder, file + ".json");
            var all = File.Exists(path) ? JsonNode.Parse(File.ReadAllText(path))!.AsObject() : [];
            var reference = JsonNode.Parse(found.GetRawText())!.AsObject();
            reference.Remove("timings");
            all[key] = reference;
            File.WriteAllText(path, new JsonObject(all.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => KeyValuePair.Create(p.Key, p.Value?.DeepClone()))).ToJsonString(s_indented) + "\n");
            File.WriteAllBytes(Path.Combine(folder, key.Replace('/', '-') + ".annotated.jpg"), annotated.Span);
        }
    }
}
