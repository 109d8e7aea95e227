using System.Text;
using System.Text.Unicode;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// Keys as text, both ways and without loss: programs of others use numbers and hashes for keys, and their answers carry
/// the key they sent. What is not UTF-8 becomes a noncharacter, which no text starts with, and a character per byte.
/// </summary>
internal static class KafkaKeys
{
    private const char Binary = '\uffff';

    private static ReadOnlySpan<byte> Mark => "\uffff"u8;

    public static string? Text(byte[]? key) => key switch
    {
        null => null,
        _ when Utf8.IsValid(key) && !key.AsSpan().StartsWith(Mark) => Encoding.UTF8.GetString(key),
        _ => Binary + Encoding.Latin1.GetString(key),
    };

    public static byte[]? Bytes(string? key) => key switch
    {
        null => null,
        [Binary, .. var bytes] => Encoding.Latin1.GetBytes(bytes),
        _ => Encoding.UTF8.GetBytes(key),
    };
}
