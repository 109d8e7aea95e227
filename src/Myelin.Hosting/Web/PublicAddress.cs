using System.Net;
using System.Net.Sockets;

namespace Myelin.Hosting.Web;

/// <summary>
/// Tells addresses of the public internet from those that only this machine or network should reach. What the server
/// fetches or posts for a caller (inputs by URL, webhooks) must never become a way into its own network.
/// </summary>
internal static class PublicAddress
{
    // The special-purpose registries of IANA (RFC 6890 and later), as of 2026.
    private static readonly IPNetwork[] s_special =
    [
        .. new[]
        {
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
            "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "168.63.129.16/32", // Azure's platform endpoint has a public number but answers only inside
            "::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
            "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        }.Select(IPNetwork.Parse),
    ];

    private static readonly IPNetwork s_nat64 = IPNetwork.Parse("64:ff9b::/96");
    private static readonly IPNetwork s_sixToFour = IPNetwork.Parse("2002::/16");

    public static bool IsPublic(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        if (address.AddressFamily == AddressFamily.InterNetworkV6 && Embedded(address) is { } inner && !IsPublic(inner))
        {
            return false;
        }

        foreach (var network in s_special)
        {
            if (network.Contains(address))
            {
                return false;
            }
        }

        return true;
    }

    // Translated addresses carry an IPv4 one, which is where the packets end.
    private static IPAddress? Embedded(IPAddress address)
    {
        var bytes = address.GetAddressBytes();
        return s_nat64.Contains(address) ? new IPAddress(bytes.AsSpan(12, 4))
            : s_sixToFour.Contains(address) ? new IPAddress(bytes.AsSpan(2, 4))
            : null;
    }
}
