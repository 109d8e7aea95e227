using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>Shapes from untrusted JSON, and the bytes they stand for.</summary>
internal static class OipShape
{
    /// <exception cref="OipException">Not an array of at most <see cref="OipLimits.MaxRank"/> lengths of 0 or more.</exception>
    public static long[] Read(JsonElement tensor, string field)
    {
        if (!tensor.TryGetProperty("shape", out var given) || given.ValueKind != JsonValueKind.Array || given.GetArrayLength() > OipLimits.MaxRank)
        {
            throw Wrong(field);
        }

        var shape = new long[given.GetArrayLength()];
        for (var index = 0; index < shape.Length; index++)
        {
            var length = given[index];
            if (length.ValueKind != JsonValueKind.Number || !length.TryGetInt64(out shape[index]) || shape[index] < 0)
            {
                throw Wrong(field);
            }
        }

        return shape;
    }

    /// <summary>Elements of a shape, multiplied from first to last; false where a step leaves 63 bits, also when a later length is 0.</summary>
    public static bool TryCount(ReadOnlySpan<long> shape, out long count)
    {
        count = 1;
        foreach (var length in shape)
        {
            if (length < 0 || (length != 0 && count > long.MaxValue / length))
            {
                return false;
            }

            count *= length;
        }

        return true;
    }

    private static OipException Wrong(string field) =>
        new(field + ".shape", $"must be an array of at most {OipLimits.MaxRank} lengths, whole numbers from 0");
}
