using System.Net;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>What can be told about a callback's address without a lookup; the sender checks the connected address again.</summary>
internal static class CallbackTarget
{
    public static string? Wrong(string url, bool allowPrivate)
    {
        if (url.Length > 2048 || !Uri.TryCreate(url, UriKind.Absolute, out var uri) || (uri.Scheme != "http" && uri.Scheme != "https"))
        {
            return "must be an http or https address of at most 2048 characters";
        }

        if (uri.UserInfo.Length > 0)
        {
            return "must not hold a user name or password; check the signature instead (webhook-signature)";
        }

        var isPrivate = uri.IsLoopback || (IPAddress.TryParse(uri.Host.Trim('[', ']'), out var address) && !PublicAddress.IsPublic(address));
        return isPrivate && !allowPrivate ? "is a private address; start the server with --webhooks-allow-private to deliver there" : null;
    }
}
