using System.Text;
using Confluent.Kafka;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>Headers as text, both ways. Where a name comes twice the last one counts.</summary>
internal static class KafkaHeaders
{
    public static Headers Of(IReadOnlyDictionary<string, string>? headers)
    {
        var result = new Headers();
        foreach (var (name, value) in headers ?? new Dictionary<string, string>())
        {
            result.Add(name, Encoding.UTF8.GetBytes(value));
        }

        return result;
    }

    public static IReadOnlyDictionary<string, string>? Read(Headers? headers)
    {
        if (headers is not { Count: > 0 })
        {
            return null;
        }

        var result = new Dictionary<string, string>(headers.Count, StringComparer.Ordinal);
        foreach (var header in headers)
        {
            result[header.Key] = header.GetValueBytes() is { } value ? Encoding.UTF8.GetString(value) : "";
        }

        return result;
    }
}
