using System.Buffers;
using System.Buffers.Binary;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Sidecar.Http;

/// <summary>A body that is one tensor's bytes and nothing else (<see cref="OipReader.HeadLengthHeader"/> 0); for BYTES the one element, without its length.</summary>
internal static class RawRequest
{
    /// <param name="length"><c>Content-Length</c>, which a raw request must have.</param>
    /// <exception cref="OipException">The model does not take exactly one input with at most one length that varies, or the bytes do not fit it.</exception>
    public static async ValueTask<OipMessage> ReadAsync(Stream body, long? length, SidecarModel model, OipLimits limits, CancellationToken cancellationToken)
    {
        if (model.Inputs is not [var spec])
        {
            throw new OipException(OipReader.HeadLengthHeader, "is 0, a raw request, which only a model with exactly one declared input takes");
        }

        if (length is not { } size || size > Math.Min(limits.MaxBytes, Array.MaxLength - sizeof(uint)))
        {
            throw new OipException("Content-Length", $"of a raw request must be given, and at most {limits.MaxBytes}");
        }

        var shape = Shape(spec, size);
        var prefix = spec.Type == ElementType.Bytes ? sizeof(uint) : 0;
        var rented = MemoryPool<byte>.Shared.Rent(Math.Max((int)size + prefix, 1));
        try
        {
            var memory = rented.Memory[..((int)size + prefix)];
            if (prefix > 0)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(memory.Span, (uint)size);
            }

            await OipReader.ReadExactlyAsync(body, memory[prefix..], $"tensor '{spec.Name}'", cancellationToken).ConfigureAwait(false);
            return new OipMessage { Tensors = new TensorSet([new Tensor(spec.Name, spec.Type, shape, memory, rented)]), BinaryOutput = true };
        }
        catch
        {
            rented.Dispose();
            throw;
        }
    }

    /// <summary>The first length that varies takes what the size leaves.</summary>
    private static long[] Shape(TensorSpec spec, long size)
    {
        var shape = (long[])spec.Shape.Clone();
        var varying = Array.IndexOf(shape, -1);
        if (shape.Count(length => length < 0) > 1)
        {
            throw new OipException(OipReader.HeadLengthHeader, $"is 0, a raw request, which [{string.Join(',', spec.Shape)}] does not allow: more than one length varies");
        }

        if (varying >= 0)
        {
            shape[varying] = 1;
        }

        if (spec.Type == ElementType.Bytes)
        {
            return OipShape.TryCount(shape, out var texts) && texts == 1 ? shape : throw Misfit(spec, size);
        }

        if (!OipShape.TryCount(shape, out var count) || count > int.MaxValue)
        {
            throw Misfit(spec, size);
        }

        var bytes = count * spec.Type.Size();
        if (varying >= 0 && bytes > 0 && size % bytes == 0)
        {
            shape[varying] = size / bytes;
            return shape;
        }

        return bytes == size ? shape : throw Misfit(spec, size);
    }

    private static OipException Misfit(TensorSpec spec, long size) =>
        new("body", $"has {size} bytes, which do not fill {spec.Type.WireName()} of shape [{string.Join(',', spec.Shape)}]");
}
