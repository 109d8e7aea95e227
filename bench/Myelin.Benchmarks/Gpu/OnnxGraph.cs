using System.Runtime.InteropServices;
using System.Text;

namespace Myelin.Benchmarks.Gpu;

/// <summary>
/// Writes an ONNX network of random weights, in protobuf's wire form. What it costs and takes is a real network's of the
/// same shape; what it computes is nothing. Weights lie in one file beside it, in which those of one spread share their
/// bytes: a gigabyte of parameters takes a few hundred megabytes on the disk and all of it once loaded.
/// </summary>
internal sealed class OnnxGraph
{
    private const int Float = 1;
    private const int Int64 = 7;
    private const int OpSet = 17;
    private const int IrVersion = 8;

    private readonly List<byte[]> _nodes = [];
    private readonly List<byte[]> _initializers = [];
    private readonly List<byte[]> _inputs = [];
    private readonly List<(string Name, long[] Shape, int Spread)> _weights = [];
    private int _next;

    /// <summary>Numbers in all weights, as loaded.</summary>
    public long Parameters { get; private set; }

    public string Input(string name, bool integers, params object[] shape)
    {
        _inputs.Add(Value(name, integers ? Int64 : Float, shape));
        return name;
    }

    /// <summary>One operator of one output.</summary>
    public string Node(string type, string[] inputs, params (string Name, object Value)[] attributes) => Nodes(type, 1, inputs, attributes)[0];

    public string[] Nodes(string type, int outputs, string[] inputs, params (string Name, object Value)[] attributes)
    {
        string[] names = [.. Enumerable.Range(0, outputs).Select(_ => $"t{_next++}")];
        _nodes.Add(Message([
            .. inputs.Select(name => (1, Text(name))), .. names.Select(name => (2, Text(name))), (4, Text(type)), .. attributes.Select(a => (5, Attribute(a.Name, a.Value)))]));
        return names;
    }

    /// <summary>Random numbers of mean 0 and deviation 1/√<paramref name="spread"/>, the count of what one output sums up.</summary>
    public string Weights(int spread, params long[] shape)
    {
        var name = $"w{_weights.Count}";
        _weights.Add((name, shape, spread));
        Parameters += shape.Aggregate(1L, (product, length) => product * length);
        return name;
    }

    /// <summary>The same number everywhere: biases and gains.</summary>
    public string Filled(float value, params long[] shape)
    {
        var values = new float[shape.Aggregate(1L, (product, length) => product * length)];
        Array.Fill(values, value);
        Parameters += values.Length;
        return Constant(values, shape);
    }

    public string Constant(float[] values, params long[] shape) => Initializer(Float, shape, MemoryMarshal.AsBytes<float>(values).ToArray());

    public string Integers(params long[] values) => Initializer(Int64, [values.Length], MemoryMarshal.AsBytes<long>(values).ToArray());

    /// <summary>Writes <c>model.onnx</c> and, where there are weights, <c>weights.bin</c>.</summary>
    public void Write(string folder, string result, string outputName, params object[] shape)
    {
        Directory.CreateDirectory(folder);
        var offsets = WriteWeights(Path.Combine(folder, "weights.bin"));
        _nodes.Add(Message((1, Text(result)), (2, Text(outputName)), (4, Text("Identity"))));
        var graph = Message([
            .. _nodes.Select(node => (1, node)), (2, Text("random")),
            .. _initializers.Select(initializer => (5, initializer)), .. _weights.Select(weight => (5, External(weight.Name, weight.Shape, offsets[weight.Spread]))),
            .. _inputs.Select(input => (11, input)), (12, Value(outputName, Float, shape))]);
        File.WriteAllBytes(Path.Combine(folder, "model.onnx"), [.. Number(1, IrVersion), .. Message((7, graph), (8, [.. Message((1, [])), .. Number(2, OpSet)]))]);
    }

    private Dictionary<int, long> WriteWeights(string path)
    {
        var offsets = new Dictionary<int, long>();
        using var file = File.Create(path);
        var random = new Random(1);
        foreach (var spread in _weights.GroupBy(weight => weight.Spread))
        {
            offsets[spread.Key] = file.Position;
            var values = new float[spread.Max(weight => weight.Shape.Aggregate(1L, (product, length) => product * length))];
            var width = MathF.Sqrt(3f / spread.Key); // of a uniform distribution with that deviation
            foreach (ref var value in values.AsSpan())
            {
                value = ((2 * random.NextSingle()) - 1) * width;
            }

            file.Write(MemoryMarshal.AsBytes<float>(values));
            file.Position = (file.Position + 4095) & ~4095L;
        }

        file.SetLength(file.Position);
        return offsets;
    }

    private static byte[] External(string name, long[] shape, long offset) => [
        .. Shape(shape), .. Number(2, Float),
        .. Message(
            (8, Text(name)), (13, Entry("location", "weights.bin")), (13, Entry("offset", $"{offset}")),
            (13, Entry("length", $"{shape.Aggregate(4L, (product, length) => product * length)}"))),
        .. Number(14, 1)];

    private string Initializer(int type, long[] shape, byte[] raw)
    {
        var name = $"c{_initializers.Count}";
        _initializers.Add([.. Shape(shape), .. Number(2, type), .. Message((8, Text(name)), (9, raw))]);
        return name;
    }

    private static byte[] Shape(long[] shape) => [.. shape.SelectMany(length => Number(1, length))];

    private static byte[] Entry(string key, string value) => Message((1, Text(key)), (2, Text(value)));

    /// <param name="shape">Numbers, or names of free dimensions.</param>
    private static byte[] Value(string name, int type, object[] shape)
    {
        var dimensions = shape.Select(length => (1, length is string free ? Message((2, Text(free))) : Number(1, Convert.ToInt64(length)))).ToArray();
        return Message((1, Text(name)), (2, Message((1, [.. Number(1, type), .. Message((2, Message(dimensions)))]))));
    }

    private static byte[] Attribute(string name, object value) => value switch
    {
        int number => [.. Message((1, Text(name))), .. Number(3, number), .. Number(20, 2)],
        float number => [.. Message((1, Text(name))), (2 << 3) | 5, .. BitConverter.GetBytes(number), .. Number(20, 1)],
        string text => [.. Message((1, Text(name)), (4, Text(text))), .. Number(20, 3)],
        _ => [.. Message((1, Text(name))), .. ((long[])value).SelectMany(number => Number(8, number)), .. Number(20, 7)],
    };

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Number(int field, long value) => [.. Varint((ulong)field << 3), .. Varint((ulong)value)];

    private static byte[] Message(params (int Field, byte[] Content)[] parts)
    {
        using var stream = new MemoryStream();
        foreach (var (field, content) in parts)
        {
            stream.Write(Varint(((ulong)field << 3) | 2));
            stream.Write(Varint((ulong)content.Length));
            stream.Write(content);
        }

        return stream.ToArray();
    }

    private static byte[] Varint(ulong value)
    {
        var bytes = new List<byte>(10);
        for (; value > 127; value >>= 7)
        {
            bytes.Add((byte)(value | 128));
        }

        return [.. bytes, (byte)value];
    }
}
