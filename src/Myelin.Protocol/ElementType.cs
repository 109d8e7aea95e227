namespace Myelin.Protocol;

/// <summary>Element types of a tensor, named as in the Open Inference Protocol v2 (BOOL, UINT8 … FP64, BYTES).</summary>
public enum ElementType
{
    Bool,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    Float32,
    Float64,

    /// <summary>Variable-length elements; each is a little-endian u32 length and that many bytes.</summary>
    Bytes,
}

public static class ElementTypes
{
    /// <summary>Bytes of one element; 0 for <see cref="ElementType.Bytes"/>, whose elements vary.</summary>
    public static int Size(this ElementType type) => type switch
    {
        ElementType.Bool or ElementType.UInt8 or ElementType.Int8 => 1,
        ElementType.UInt16 or ElementType.Int16 or ElementType.Float16 => 2,
        ElementType.UInt32 or ElementType.Int32 or ElementType.Float32 => 4,
        ElementType.UInt64 or ElementType.Int64 or ElementType.Float64 => 8,
        _ => 0,
    };

    /// <summary>The protocol's name: <c>FP32</c>, <c>INT64</c>, <c>BYTES</c> …</summary>
    public static string WireName(this ElementType type) => type switch
    {
        ElementType.Float16 => "FP16",
        ElementType.Float32 => "FP32",
        ElementType.Float64 => "FP64",
        _ => type.ToString().ToUpperInvariant(),
    };

    /// <summary>Reads <see cref="WireName"/> back; false for a name the protocol does not have.</summary>
    public static bool TryParse(string? name, out ElementType type)
    {
        foreach (var candidate in Enum.GetValues<ElementType>())
        {
            if (string.Equals(candidate.WireName(), name, StringComparison.Ordinal))
            {
                type = candidate;
                return true;
            }
        }

        type = default;
        return false;
    }
}
