using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Myelin.Jobs.Webhooks;

/// <summary>Standard Webhooks: HMAC-SHA256 over <c>id.timestamp.body</c>, as <c>v1,&lt;base64&gt;</c>.</summary>
internal static class WebhookSignature
{
    public const string IdHeader = "webhook-id";
    public const string TimestampHeader = "webhook-timestamp";
    public const string SignatureHeader = "webhook-signature";

    /// <param name="key">Of the callback, or the server's.</param>
    /// <param name="id">Same for every attempt of a delivery, so that a receiver can drop repeats.</param>
    /// <param name="timestamp">Unix seconds of this attempt.</param>
    /// <param name="body">As sent.</param>
    public static string Sign(byte[] key, string id, long timestamp, ReadOnlySpan<byte> body)
    {
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
        hash.AppendData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}.{timestamp}.")));
        hash.AppendData(body);
        return "v1," + Convert.ToBase64String(hash.GetHashAndReset());
    }
}
