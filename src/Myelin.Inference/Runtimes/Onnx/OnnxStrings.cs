using System.Buffers;
using System.Buffers.Binary;
using Microsoft.ML.OnnxRuntime;

namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>String tensors ↔ BYTES: each element a little-endian u32 length and that many bytes.</summary>
internal static class OnnxStrings
{
    /// <exception cref="RuntimeException">The lengths do not add up to the tensor's bytes or its element count.</exception>
    public static OrtValue ToNative(Tensor tensor)
    {
        var count = Tensor.Elements(tensor.Shape);
        var value = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, tensor.Shape);
        try
        {
            ReadOnlySpan<byte> rest = tensor.Bytes.Span;
            for (var index = 0; index < count; index++)
            {
                if (!ElementsOfBytes.TryTake(ref rest, out var element))
                {
                    throw new RuntimeException($"input '{tensor.Name}': element {index} of {count} runs past the end of its {tensor.Bytes.Length} bytes", retryable: false);
                }

                value.StringTensorSetElementAt(element, index);
            }

            return rest.IsEmpty
                ? value
                : throw new RuntimeException($"input '{tensor.Name}': {rest.Length} bytes are left after its {count} elements", retryable: false);
        }
        catch
        {
            value.Dispose();
            throw;
        }
    }

    public static Tensor FromNative(string name, OrtValue value, long[] shape)
    {
        var count = checked((int)Tensor.Elements(shape));
        var writer = new ArrayBufferWriter<byte>();
        for (var index = 0; index < count; index++)
        {
            var element = value.GetStringElementAsSpan(index);
            BinaryPrimitives.WriteUInt32LittleEndian(writer.GetSpan(4), (uint)element.Length);
            writer.Advance(4);
            writer.Write(element);
        }

        var bytes = writer.WrittenSpan.ToArray();
        value.Dispose();
        return new Tensor(name, ElementType.Bytes, shape, bytes);
    }
}
