using System.Runtime.InteropServices;
using System.Text.Json;
using Myelin.Inference.Tasks.Generation.Sampling;
using Myelin.Testing;

namespace Myelin.Tests.Inference.Generation;

/// <summary>Reads the recordings of the reference implementation.</summary>
internal static class Golden
{
    public static JsonElement Json(string file)
    {
        // Python writes -Infinity, which JSON does not have.
        var text = File.ReadAllText(Shared.Require("goldens", file)).Replace("-Infinity", "null", StringComparison.Ordinal);
        return JsonDocument.Parse(text).RootElement;
    }

    public static string Folder(string model) => Shared.Require("goldens", model);

    /// <summary>A copy of a reference model that a test may change.</summary>
    public static TemporaryFolder Copy(string model)
    {
        var folder = new TemporaryFolder();
        var source = Folder(model);
        foreach (var file in Directory.EnumerateFiles(source, "*", SearchOption.AllDirectories))
        {
            File.WriteAllBytes(folder.File(Path.GetRelativePath(source, file)), File.ReadAllBytes(file)); // Not File.Copy: the originals are read-only.
        }

        return folder;
    }

    public static float[] Floats(JsonElement reference) => Floats(reference.GetProperty("file").GetString()!);

    public static float[] Floats(string file) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Shared.Require("goldens", file))).ToArray();

    public static long[] Shape(JsonElement reference) => [.. reference.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64())];

    public static double LargestDifference(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        Shouldly.ShouldBeTestExtensions.ShouldBe(actual.Length, expected.Length);
        var largest = 0.0;
        for (var i = 0; i < actual.Length; i++)
        {
            var difference = Math.Abs((double)actual[i] - expected[i]);
            largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
        }

        return largest;
    }

    public static double Magnitude(ReadOnlySpan<float> values)
    {
        var largest = 0f;
        foreach (var value in values)
        {
            largest = Math.Max(largest, Math.Abs(value));
        }

        return largest;
    }
}

/// <summary>Plays back recorded draws.</summary>
internal sealed class RecordedNoise(float[] draws) : INoise
{
    private int _at;

    public bool Used => _at == draws.Length;

    public void DrawShared(Span<float> values) => Draw(values);

    public void Draw(Span<float> values)
    {
        draws.AsSpan(_at, values.Length).CopyTo(values);
        _at += values.Length;
    }
}
