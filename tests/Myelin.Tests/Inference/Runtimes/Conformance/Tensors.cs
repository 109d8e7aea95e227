using System.Buffers.Binary;
using System.Text;
using Myelin.Inference.Runtimes;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>Tensors with a content that tells where each byte belongs.</summary>
public static class Tensors
{
    /// <summary>All element types but BYTES, whose elements vary.</summary>
    public static TheoryData<ElementType> FixedTypes() => new(Enum.GetValues<ElementType>().Where(type => type != ElementType.Bytes));

    public static Tensor Int64(string name, long value) => Tensor.Of<long>(name, ElementType.Int64, [value], 1);

    public static Tensor Text(string name, params string[] elements)
    {
        var bytes = new List<byte>();
        foreach (var element in elements.Select(Encoding.UTF8.GetBytes))
        {
            var length = new byte[4];
            BinaryPrimitives.WriteInt32LittleEndian(length, element.Length);
            bytes.AddRange(length);
            bytes.AddRange(element);
        }

        return new Tensor(name, ElementType.Bytes, [elements.Length], bytes.ToArray());
    }

    /// <summary>Fills with bytes that depend on place and seed; BOOL with 0 and 1.</summary>
    public static Tensor Filled(Tensor tensor, int seed)
    {
        var bytes = tensor.Bytes.Span;
        var prime = Math.Min(bytes.Length, 251 * 257);
        for (var i = 0; i < prime; i++)
        {
            bytes[i] = tensor.Type == ElementType.Bool ? (byte)((i + seed) & 1) : (byte)(((i + seed) % 251) ^ ((i / 251) & 3));
        }

        for (var done = prime; done < bytes.Length; done *= 2)
        {
            bytes[..Math.Min(done, bytes.Length - done)].CopyTo(bytes[done..]);
        }

        return tensor;
    }

    public static void ShouldEqual(Tensor seen, Tensor sent)
    {
        seen.Type.ShouldBe(sent.Type);
        seen.Shape.ShouldBe(sent.Shape);
        if (!seen.Bytes.Span.SequenceEqual(sent.Bytes.Span))
        {
            var at = seen.Bytes.Span.CommonPrefixLength(sent.Bytes.Span);
            throw new ShouldAssertException($"'{sent.Name}' of {sent.Bytes.Length} bytes differs from byte {at} on");
        }
    }
}
