using System.Collections.Frozen;
using System.Net;
using Microsoft.Extensions.Primitives;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;

namespace Myelin.Server.Gateway;

internal enum SiteVerdict
{
    Pass,

    /// <summary>The Host header names somebody else: DNS rebinding, or a proxy that was not told.</summary>
    ForeignHost,

    /// <summary>A page of another site is behind the request.</summary>
    ForeignOrigin,
}

/// <summary>
/// Keeps pages of other sites from using a server that trusts its network position. A browser sends no key by itself,
/// but it does reach loopback: so the name it asked for must be ours (DNS rebinding), and the page that asks must be
/// ours or allowed (cross-site requests). Requests that no browser makes carry none of these headers and pass.
/// </summary>
internal sealed class SiteGuard
{
    private readonly FrozenSet<string> _hosts;
    private readonly FrozenSet<string> _origins;
    private readonly bool _anyAddress;

    public SiteGuard(MyelinOptions options)
    {
        var listen = ListenCheck.Hosts(options.Urls).ToArray();
        _hosts = listen.Concat(Split(options.AllowedHosts)).Select(h => h.Trim('[', ']')).ToFrozenSet(StringComparer.OrdinalIgnoreCase);
        _origins = Split(options.AllowedOrigins).Select(o => o.TrimEnd('/')).ToFrozenSet(StringComparer.OrdinalIgnoreCase);

        // A name can be made to point anywhere, an address cannot: where every interface is served, any address is ours.
        _anyAddress = listen.Any(h => h is "0.0.0.0" or "::" or "*" or "+");
    }

    public bool IsAllowedOrigin(string origin) => _origins.Contains(origin);

    public SiteVerdict Check(HttpRequest request, Caller caller)
    {
        // A valid key is proof enough that the name does not matter: no rebound page can know it.
        if (caller.KeyId is null && !IsOurHost(request.Host.Host))
        {
            return SiteVerdict.ForeignHost;
        }

        var headers = request.Headers;
        if (headers.Origin is [{ } origin])
        {
            return IsSameOrigin(origin, request.Host) || IsAllowedOrigin(origin) ? SiteVerdict.Pass : SiteVerdict.ForeignOrigin;
        }

        if (headers.Origin.Count > 1)
        {
            return SiteVerdict.ForeignOrigin;
        }

        // No Origin: an old-style GET of a picture or script, or a link that somebody followed. Only the link may pass.
        return headers["Sec-Fetch-Site"] is [{ } site] && site is not ("same-origin" or "none") && !IsFollowedLink(request)
            ? SiteVerdict.ForeignOrigin
            : SiteVerdict.Pass;
    }

    private bool IsOurHost(string host)
    {
        var name = host.Length > 0 && host[0] == '[' ? host.Trim('[', ']') : host;
        return ListenCheck.IsLoopback(name) || _hosts.Contains(name) || (_anyAddress && IPAddress.TryParse(name, out _));
    }

    // The scheme is left out on purpose: behind a proxy that ends TLS the page is https and the request http.
    private static bool IsSameOrigin(string origin, HostString host)
    {
        var scheme = origin.IndexOf("://", StringComparison.Ordinal);
        return scheme > 0 && origin.AsSpan(scheme + 3).Equals(host.Value, StringComparison.OrdinalIgnoreCase);
    }

    private static bool IsFollowedLink(HttpRequest request) =>
        HttpMethods.IsGet(request.Method)
        && Is(request.Headers["Sec-Fetch-Mode"], "navigate")
        && Is(request.Headers["Sec-Fetch-Dest"], "document");

    private static bool Is(StringValues header, string value) => header is [{ } only] && only == value;

    private static string[] Split(string list) =>
        list.Split([',', ' ', ';'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
