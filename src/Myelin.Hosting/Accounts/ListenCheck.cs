using System.Net;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Accounts;

/// <summary>Decides from the listen addresses whether callers must show a key, and whether the server may start at all.</summary>
internal static class ListenCheck
{
    /// <summary>
    /// Keys are asked for on every address but loopback, and on loopback too with <see cref="MyelinOptions.RequireKeys"/>.
    /// <see cref="MyelinOptions.Insecure"/> turns that off.
    /// </summary>
    public static bool KeysRequired(MyelinOptions options) =>
        options.RequireKeys || (!options.Insecure && !IsLoopbackOnly(options.Urls));

    /// <summary>Why the server must not start, with the cure; null when it may. Call it before the listener opens.</summary>
    public static async ValueTask<string?> RefusalAsync(MyelinOptions options, IKeyStore keys, CancellationToken cancellationToken)
    {
        if (!KeysRequired(options) || await keys.AnyAsync(cancellationToken))
        {
            return null;
        }

        return $"""
            Keys are asked for on {options.Urls}, and there are none, so nobody could use the server. Do one of:
              make a key:                    keys create --name first --scopes admin
              listen on this machine only:   --urls http://127.0.0.1:8080
              serve everybody (trusted networks only): --insecure
            """;
    }

    public static bool IsLoopbackOnly(string urls) => Hosts(urls).All(IsLoopback);

    /// <summary>Host names and addresses of the listen addresses, without brackets.</summary>
    public static IEnumerable<string> Hosts(string urls) =>
        FormAttribute.Addresses(urls).Select(url =>
        {
            var address = BindingAddress.Parse(url);
            return address.IsUnixPipe ? "localhost" : address.Host.Trim('[', ']');
        });

    public static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));
}
