using Microsoft.ML.OnnxRuntime.Tensors;

namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>The two names of each element type.</summary>
internal static class OnnxTypes
{
    private static readonly (ElementType Ours, TensorElementType Native)[] s_table =
    [
        (ElementType.Bool, TensorElementType.Bool),
        (ElementType.UInt8, TensorElementType.UInt8),
        (ElementType.UInt16, TensorElementType.UInt16),
        (ElementType.UInt32, TensorElementType.UInt32),
        (ElementType.UInt64, TensorElementType.UInt64),
        (ElementType.Int8, TensorElementType.Int8),
        (ElementType.Int16, TensorElementType.Int16),
        (ElementType.Int32, TensorElementType.Int32),
        (ElementType.Int64, TensorElementType.Int64),
        (ElementType.Float16, TensorElementType.Float16),
        (ElementType.Float32, TensorElementType.Float),
        (ElementType.Float64, TensorElementType.Double),
        (ElementType.Bytes, TensorElementType.String),
    ];

    public static TensorElementType ToNative(this ElementType type) => s_table.First(pair => pair.Ours == type).Native;

    /// <summary>False for what no protocol here carries, such as bfloat16 or 4-bit integers.</summary>
    public static bool TryFromNative(TensorElementType native, out ElementType type)
    {
        foreach (var pair in s_table)
        {
            if (pair.Native == native)
            {
                type = pair.Ours;
                return true;
            }
        }

        type = default;
        return false;
    }
}
