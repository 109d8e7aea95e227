using System.Globalization;
using System.Net;

namespace Myelin.Hosting.Configuration;

/// <summary>What the text of a setting stands for; checked before anything is made of it.</summary>
internal enum Form
{
    /// <summary>Addresses to listen on, comma-separated: <c>http://127.0.0.1:8080</c>, <c>http://*:8080</c>, <c>http://unix:/path</c>.</summary>
    Listen,

    /// <summary>An http or https address of a server.</summary>
    Server,

    /// <summary>As <see cref="Server"/>, or <c>grpc://host:port</c>.</summary>
    Collector,

    /// <summary>Host names, comma-separated.</summary>
    Hosts,

    /// <summary>Host names, comma-separated, or <c>*</c>.</summary>
    AnyHosts,

    /// <summary>Scheme and host of pages, comma-separated.</summary>
    Origins,

    /// <summary><c>[security://]host[:port]</c>, comma-separated, as librdkafka reads them.</summary>
    Brokers,

    /// <summary>Letters, digits and hyphens: it becomes part of a host name.</summary>
    Region,

    /// <summary>A file that is there.</summary>
    File,

    /// <summary>As <see cref="File"/>, or the bare name of a library, which the system's loader looks for.</summary>
    Library,

    /// <summary>A secret that travels in a header: printable ASCII; spaces only inside.</summary>
    HeaderSecret,
}

/// <summary>Says of a text setting what it must look like. <see cref="Setting"/> reads it, <see cref="SettingValue"/> applies it.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class FormAttribute(Form form) : Attribute
{
    private static readonly string[] s_securities = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    private static readonly char[] s_separators = [',', ';', ' '];

    /// <summary>What is wrong with the text, with the cure; null where nothing is. A secret is not repeated.</summary>
    public string? Wrong(string text) => form switch
    {
        Form.Listen => Addresses(text) is { Length: > 0 } parts ? parts.Select(ListenError).FirstOrDefault(error => error is not null) : ListenError(text),
        Form.Server => ServerError(text, "http", "https"),
        Form.Collector => ServerError(text, "http", "https", "grpc"),
        Form.Hosts => Parts(text).FirstOrDefault(part => !IsHost(part)) is { } host ? $"'{host}' is no host name; write names without scheme and port, such as myelin.example.com" : null,
        Form.AnyHosts => Parts(text).FirstOrDefault(part => part != "*" && !IsHost(part)) is { } host ? $"'{host}' is no host name; write names without scheme and port, such as example.com, or *" : null,
        Form.Origins => Parts(text).FirstOrDefault(part => ServerError(part, "http", "https") is not null) is { } origin ? $"'{origin}' is no origin; write scheme and host, such as https://example.com" : null,
        Form.Brokers => text.Split(',').FirstOrDefault(part => !IsBroker(part.Trim())) is { } broker ? $"'{broker}' is no broker; write host:port, such as kafka:9092" : null,
        Form.Region => char.IsAsciiLetter(text[0]) && char.IsAsciiLetterOrDigit(text[^1]) && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-') ? null : $"'{text}' is no region; write letters, digits and hyphens, such as us-east-1",
        Form.Library when !text.Contains('/', StringComparison.Ordinal) => null,
        Form.File or Form.Library => System.IO.File.Exists(text) ? null : $"there is no file '{text}'",
        Form.HeaderSecret => text == text.Trim() && text.All(letter => letter is >= ' ' and < '\x7f') ? null : "has letters that no header carries; openssl rand -hex 32 makes a good one",
        _ => throw new InvalidOperationException($"{form} has no check"),
    };

    /// <summary>Those of a <see cref="Form.Listen"/>, as Kestrel takes them: what is empty between separators counts as nothing.</summary>
    public static string[] Addresses(string text) => text.Split([',', ';'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static string[] Parts(string text) => text.Split(s_separators, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static string? ListenError(string text)
    {
        const string Form = "write http://address:port, such as http://127.0.0.1:8080";
        if (text.StartsWith("https:", StringComparison.OrdinalIgnoreCase))
        {
            return $"'{text}': TLS ends before this server, at a proxy; {Form}";
        }

        if (text.StartsWith("http://unix:/", StringComparison.OrdinalIgnoreCase))
        {
            return text.Length - "http://unix:".Length <= 100 ? null : $"'{text}': a socket's path has at most 100 bytes";
        }

        BindingAddress address;
        try
        {
            address = BindingAddress.Parse(text);
        }
        catch (FormatException)
        {
            return $"'{text}' is no address; {Form}";
        }

        return address switch
        {
            { Scheme: not ("http" or "HTTP") } or { PathBase.Length: > 0 } => $"'{text}' is no address; {Form}",
            _ when address.Host is not ("*" or "+") && !IsHost(address.Host) => $"'{text}' is no address; {Form}",
            { Port: < IPEndPoint.MinPort or > IPEndPoint.MaxPort } => $"'{text}': a port is from 0 to {IPEndPoint.MaxPort}",
            { Port: 0, Host: var host } when host.Equals("localhost", StringComparison.OrdinalIgnoreCase) => $"'{text}': localhost is two addresses, which need one port; write http://127.0.0.1:0",
            _ => null,
        };
    }

    private static string? ServerError(string text, params string[] schemes) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && schemes.Contains(uri.Scheme) && uri.Host.Length > 0 && uri.UserInfo.Length == 0
            ? null
            : $"'{text}' is no address; write {string.Join(" or ", schemes)}://host:port";

    private static bool IsHost(string text) => Uri.CheckHostName(text.Trim('[', ']')) != UriHostNameType.Unknown;

    /// <summary>Nothing between commas is passed over; a scheme names the security, and a path behind it is cut off; without a port it is 9092.</summary>
    private static bool IsBroker(string text)
    {
        if (text.IndexOf("://", StringComparison.Ordinal) is >= 0 and var scheme)
        {
            if (!s_securities.Contains(text[..scheme], StringComparer.OrdinalIgnoreCase))
            {
                return false;
            }

            text = text[(scheme + 3)..].Split('/')[0];
        }

        // A port follows the only colon, or the one behind a bracket: [::1]:9092.
        var colon = text.LastIndexOf(':');
        var port = colon > 0 && (text.IndexOf(':', StringComparison.Ordinal) == colon || text[colon - 1] == ']') ? text[(colon + 1)..] : null;
        return port is null
            ? text.Length == 0 || IsHost(text)
            : IsHost(text[..colon]) && int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number is > 0 and <= IPEndPoint.MaxPort;
    }
}
