using System.Runtime.InteropServices;
using System.Text;
using Myelin.Inference.Runtimes;
using Myelin.Protocol;

namespace Myelin.Tests.Inference.Runtimes;

/// <summary>Writes the smallest networks by hand, in protobuf's wire form.</summary>
internal static class TinyOnnx
{
    /// <summary>y = x over a vector of any length.</summary>
    /// <param name="elementType">Of <c>TensorProto.DataType</c>.</param>
    /// <param name="input">Name of x.</param>
    public static byte[] Identity(int elementType, string input)
    {
        var node = Message((1, Text(input)), (2, Text("y")), (4, Text("Identity")));
        var graph = Message((1, node), (2, Text("g")), (11, Value(input, elementType)), (12, Value("y", elementType)));
        var opset = Concat(Message((1, Text(""))), Number(2, 16));
        return Concat(Number(1, 8), Message((7, graph), (8, opset)));
    }

    /// <summary>y = x for a tensor of this type and rank; dimensions of −1 are free, the others fixed.</summary>
    public static byte[] Identity(TensorSpec takes)
    {
        var elementType = takes.Type switch
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
        };
        var dimensions = takes.Shape.Select(length => (1, length < 0 ? Message((2, Text("n"))) : Number(1, (int)length))).ToArray();
        var tensor = Concat(Number(1, elementType), Message((2, Message(dimensions))));
        var type = Message((1, tensor));
        var node = Message((1, Text(takes.Name)), (2, Text("y")), (4, Text("Identity")));
        var graph = Message((1, node), (2, Text("g")), (11, Message((1, Text(takes.Name)), (2, type))), (12, Message((1, Text("y")), (2, type))));
        return Concat(Number(1, 8), Message((7, graph), (8, Concat(Message((1, Text(""))), Number(2, 16)))));
    }

    private static byte[] Value(string name, int elementType)
    {
        var shape = Message((1, Message((2, Text("n")))));
        var tensor = Concat(Number(1, elementType), Message((2, shape)));
        return Message((1, Text(name)), (2, Message((1, tensor))));
    }

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Number(int field, int value) => [(byte)(field << 3), (byte)value];

    private static byte[] Message(params (int Field, byte[] Content)[] parts) =>
        Concat([.. parts.Select(part => Concat([(byte)((part.Field << 3) | 2), (byte)part.Content.Length], part.Content))]);

    private static byte[] Concat(params byte[][] parts) => [.. parts.SelectMany(part => part)];
}

internal static partial class NativeEnvironment
{
    public static string? Read(string name) => Marshal.PtrToStringUTF8(GetEnvironment(name));

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetEnvironment(string name);
}
