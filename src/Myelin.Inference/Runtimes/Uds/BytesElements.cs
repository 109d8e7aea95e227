namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Checks the inside of BYTES tensors that another process wrote: the elements must fill them exactly.</summary>
internal static class BytesElements
{
    /// <returns>Null where all is well; otherwise a sentence that names the tensor.</returns>
    public static string? Refuse(TensorSet tensors)
    {
        for (var i = 0; i < tensors.Count; i++)
        {
            var tensor = tensors[i];
            if (tensor.Type == ElementType.Bytes && !ElementsOfBytes.Fill(tensor.Bytes.Span, Tensor.Elements(tensor.Shape)))
            {
                return $"tensor '{tensor.Name}': its {Tensor.Elements(tensor.Shape)} elements (u32 length and that many bytes, each) do not fill its {tensor.Bytes.Length} bytes exactly";
            }
        }

        return null;
    }
}
