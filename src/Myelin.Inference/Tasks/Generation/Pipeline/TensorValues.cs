using System.Numerics.Tensors;
using Myelin.Inference.Runtimes;
using Tensor = Myelin.Inference.Runtimes.Tensor;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>Numbers into and out of tensors of whatever element type the exported graph wants.</summary>
internal static class TensorValues
{
    /// <summary>A tensor for <paramref name="spec"/> with these values.</summary>
    public static Tensor Of(TensorSpec spec, ReadOnlySpan<float> values, params long[] shape)
    {
        var tensor = Tensor.Rent(spec.Name, spec.Type, shape);
        Write(tensor, 0, values);
        return tensor;
    }

    /// <summary>Overwrites a part of <paramref name="tensor"/>, beginning at an element.</summary>
    /// <exception cref="RuntimeException">The graph wants an element type that no number here can become.</exception>
    public static void Write(Tensor tensor, int at, ReadOnlySpan<float> values)
    {
        switch (tensor.Type)
        {
            case ElementType.Float32:
                values.CopyTo(tensor.As<float>()[at..]);
                break;
            case ElementType.Float16:
                TensorPrimitives.ConvertToHalf(values, tensor.As<Half>()[at..]);
                break;
            case ElementType.Float64:
                TensorPrimitives.ConvertTruncating(values, tensor.As<double>().Slice(at, values.Length));
                break;
            case ElementType.Int64:
                TensorPrimitives.ConvertTruncating(values, tensor.As<long>().Slice(at, values.Length));
                break;
            case ElementType.Int32:
                TensorPrimitives.ConvertTruncating(values, tensor.As<int>().Slice(at, values.Length));
                break;
            default:
                throw new RuntimeException($"input '{tensor.Name}' wants {tensor.Type.WireName()}, which a diffusion network never does", retryable: false);
        }
    }

    /// <summary>Token ids as the graph wants them.</summary>
    public static Tensor Ids(TensorSpec spec, ReadOnlySpan<int> ids)
    {
        var tensor = Tensor.Rent(spec.Name, spec.Type, 1, ids.Length);
        if (spec.Type == ElementType.Int32)
        {
            ids.CopyTo(tensor.As<int>());
        }
        else
        {
            TensorPrimitives.ConvertTruncating(ids, tensor.As<long>());
        }

        return tensor;
    }

    /// <summary>Copies values out as single precision.</summary>
    public static float[] Read(Tensor tensor)
    {
        switch (tensor.Type)
        {
            case ElementType.Float32:
                return tensor.As<float>().ToArray();
            case ElementType.Float16:
                var widened = new float[tensor.As<Half>().Length];
                TensorPrimitives.ConvertToSingle(tensor.As<Half>(), widened);
                return widened;
            default:
                throw new RuntimeException($"output '{tensor.Name}' is {tensor.Type.WireName()}; a diffusion network gives FP32 or FP16", retryable: false);
        }
    }
}
