using System.Diagnostics.CodeAnalysis;

namespace Myelin.Protocol.Sidecars;

/// <summary>Where a sidecar listens: <c>unix:PATH</c>, <c>http+unix:PATH</c>, <c>http://HOST:PORT</c> or <c>https://HOST:PORT</c>.</summary>
/// <param name="Transport">The protocol that is spoken there.</param>
/// <param name="Path">The socket's path; null for TCP.</param>
/// <param name="Endpoint">The TCP address; null for a socket.</param>
public sealed record SidecarAddress(SidecarTransport Transport, string? Path, Uri? Endpoint)
{
    /// <summary>Longest path of a Unix socket in bytes (Linux: 108 with the closing zero).</summary>
    public const int MaxPathBytes = 107;

    public static bool TryParse(string text, [NotNullWhen(true)] out SidecarAddress? address)
    {
        address = text switch
        {
            _ when text.StartsWith("unix:/", StringComparison.Ordinal) => new SidecarAddress(SidecarTransport.Uds, text[5..], null),
            _ when text.StartsWith("http+unix:/", StringComparison.Ordinal) => new SidecarAddress(SidecarTransport.Http, text[10..], null),
            _ when (text.StartsWith("http://", StringComparison.Ordinal) || text.StartsWith("https://", StringComparison.Ordinal)) && Uri.TryCreate(text, UriKind.Absolute, out var uri) =>
                new SidecarAddress(SidecarTransport.Http, null, uri),
            _ => null,
        };
        if (address?.Path is { } path && System.Text.Encoding.UTF8.GetByteCount(path) > MaxPathBytes)
        {
            address = null;
        }

        return address is not null;
    }

    public override string ToString() => Endpoint?.ToString() ?? (Transport == SidecarTransport.Uds ? $"unix:{Path}" : $"http+unix:{Path}");
}

/// <summary>The two protocols that a sidecar may speak.</summary>
public enum SidecarTransport
{
    /// <summary>docs/sidecar-protocol.md.</summary>
    Uds,

    /// <summary>Open Inference Protocol v2 with binary tensors.</summary>
    Http,
}
