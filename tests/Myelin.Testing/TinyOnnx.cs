using System.Text;
using Myelin.Inference.Runtimes;
using Myelin.Protocol;

namespace Myelin.Testing;

/// <summary>Writes the smallest networks by hand, in protobuf's wire form.</summary>
public static class TinyOnnx
{
    /// <summary>y = x over a vector of any length.</summary>
    /// <param name="elementType">Of <c>TensorProto.DataType</c>.</param>
    /// <param name="input">Name of x.</param>
    public static byte[] Identity(int elementType, string input) => Network(["Identity"], input, elementType, [-1]);

    /// <summary>y = x for a tensor of this type and rank; dimensions of −1 are free, the others fixed.</summary>
    public static byte[] Identity(TensorSpec takes) => Chain(takes, "Identity");

    /// <summary>y = last(… first(x)) of operators that take one tensor and keep its shape.</summary>
    public static byte[] Chain(TensorSpec takes, params string[] operators) => Network(operators, takes.Name, takes.Type switch
    {
        ElementType.Float32 => 1,
        ElementType.UInt8 => 2,
        ElementType.Int8 => 3,
        ElementType.UInt16 => 4,
        ElementType.Int16 => 5,
        ElementType.Int32 => 6,
        ElementType.Int64 => 7,
        ElementType.Bytes => 8,
        ElementType.Bool => 9,
        ElementType.Float16 => 10,
        ElementType.Float64 => 11,
        ElementType.UInt32 => 12,
        _ => 13,
    }, takes.Shape);

    private static byte[] Network(string[] operators, string input, int elementType, long[] shape)
    {
        var dimensions = shape.Select(length => (1, length < 0 ? Message((2, Text("n"))) : Number(1, length))).ToArray();
        var type = Message((1, Concat(Number(1, elementType), Message((2, Message(dimensions))))));
        var nodes = operators.Select((name, at) => (1, Message(
            (1, Text(at == 0 ? input : $"t{at}")), (2, Text(at == operators.Length - 1 ? "y" : $"t{at + 1}")), (4, Text(name)))));
        var graph = Message([.. nodes, (2, Text("g")), (11, Message((1, Text(input)), (2, type))), (12, Message((1, Text("y")), (2, type)))]);
        return Concat(Number(1, 8), Message((7, graph), (8, Concat(Message((1, Text(""))), Number(2, 16)))));
    }

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Number(int field, long value) => [(byte)(field << 3), .. Varint(value)];

    private static byte[] Message(params (int Field, byte[] Content)[] parts) =>
        Concat([.. parts.Select(part => Concat([(byte)((part.Field << 3) | 2)], Varint(part.Content.Length), part.Content))]);

    private static byte[] Varint(long value)
    {
        var bytes = new List<byte>();
        for (; value > 127; value >>= 7)
        {
            bytes.Add((byte)(value | 128));
        }

        bytes.Add((byte)value);
        return [.. bytes];
    }

    private static byte[] Concat(params byte[][] parts) => [.. parts.SelectMany(part => part)];
}
