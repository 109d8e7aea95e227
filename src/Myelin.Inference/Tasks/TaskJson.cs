using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Myelin.Inference.Tasks;

/// <summary>Writes results: UTF-8, readable letters kept, numbers rounded to what they mean.</summary>
internal static class TaskJson
{
    private static readonly JsonWriterOptions s_options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>An object whose members <paramref name="write"/> adds.</summary>
    public static ReadOnlyMemory<byte> Object(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, s_options))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return buffer.WrittenMemory;
    }

    /// <summary>A hundredth of a pixel.</summary>
    public static double Pixel(double value) => Math.Round(value, 2);

    public static double Score(double value) => Math.Round(value, 4);

    public static void Box(Utf8JsonWriter json, string name, double x1, double y1, double x2, double y2)
    {
        json.WriteStartArray(name);
        json.WriteNumberValue(Pixel(x1));
        json.WriteNumberValue(Pixel(y1));
        json.WriteNumberValue(Pixel(x2 - x1));
        json.WriteNumberValue(Pixel(y2 - y1));
        json.WriteEndArray();
    }
}
