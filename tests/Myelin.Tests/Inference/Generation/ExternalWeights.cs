using System.Globalization;
using System.Text;

namespace Myelin.Tests.Inference.Generation;

/// <summary>
/// Moves the weights of an ONNX file into a file beside it, as exporters do for networks over 2 GB (onnx.proto:
/// TensorProto.external_data). Walks the protobuf wire format; everything else is copied as it is.
/// </summary>
internal static class ExternalWeights
{
    private const int ModelGraph = 7, GraphInitializer = 5;
    private const int TensorRawData = 9, TensorExternalData = 13, TensorDataLocation = 14;
    private const int Alignment = 4096; // a page: what lets a runtime map the file

    /// <returns>How many bytes of weights moved.</returns>
    public static long Move(string network, string weights)
    {
        using var data = new MemoryStream();
        var model = Rewrite(File.ReadAllBytes(network), ModelGraph, graph => Rewrite(graph, GraphInitializer, tensor => Externalise(tensor, data, Path.GetFileName(weights))));
        File.WriteAllBytes(network, model);
        File.WriteAllBytes(weights, data.ToArray());
        return data.Length;
    }

    private static byte[] Externalise(byte[] tensor, MemoryStream data, string file)
    {
        var raw = default(byte[]);
        var rest = Rewrite(tensor, TensorRawData, bytes =>
        {
            raw = bytes;
            return null;
        });
        if (raw is null || raw.Length < 64)
        {
            return tensor;
        }

        data.SetLength((data.Length + Alignment - 1) / Alignment * Alignment);
        data.Position = data.Length;
        var offset = data.Position;
        data.Write(raw);
        using var result = new MemoryStream();
        result.Write(rest);
        foreach (var (key, value) in new[] { ("location", file), ("offset", Text(offset)), ("length", Text(raw.Length)) })
        {
            using var entry = new MemoryStream();
            Field(entry, 1, Encoding.UTF8.GetBytes(key));
            Field(entry, 2, Encoding.UTF8.GetBytes(value));
            Field(result, TensorExternalData, entry.ToArray());
        }

        Varint(result, TensorDataLocation << 3);
        Varint(result, 1); // EXTERNAL
        return result.ToArray();
    }

    /// <summary>The message with each length-delimited <paramref name="field"/> replaced; null drops it.</summary>
    private static byte[] Rewrite(byte[] message, int field, Func<byte[], byte[]?> replace)
    {
        using var result = new MemoryStream();
        var at = 0;
        while (at < message.Length)
        {
            var begin = at;
            var tag = Varint(message, ref at);
            var value = at;
            switch (tag & 7)
            {
                case 0:
                    Varint(message, ref at);
                    break;
                case 1:
                    at += 8;
                    break;
                case 5:
                    at += 4;
                    break;
                default:
                    var length = (int)Varint(message, ref at);
                    value = at;
                    at += length;
                    break;
            }

            if ((tag & 7) == 2 && (int)(tag >> 3) == field)
            {
                if (replace(message[value..at]) is { } replaced)
                {
                    Field(result, field, replaced);
                }
            }
            else
            {
                result.Write(message.AsSpan(begin..at));
            }
        }

        return result.ToArray();
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        var value = 0ul;
        for (var shift = 0; ; shift += 7)
        {
            var next = message[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }

    private static void Field(MemoryStream target, int field, byte[] bytes)
    {
        Varint(target, (ulong)((field << 3) | 2));
        Varint(target, (ulong)bytes.Length);
        target.Write(bytes);
    }

    private static void Varint(MemoryStream target, ulong value)
    {
        while (value >= 0x80)
        {
            target.WriteByte((byte)(value | 0x80));
            value >>= 7;
        }

        target.WriteByte((byte)value);
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
