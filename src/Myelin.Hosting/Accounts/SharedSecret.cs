using System.Security.Cryptography;
using System.Text;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Accounts;

/// <summary>
/// A secret from the settings, known without the database: <c>cluster.key</c>, which gateways show to workers,
/// <c>telemetry.metricsKey</c>, which opens <c>/metrics</c> so that the watch does not end when the database does, and
/// <c>webhooks.secret</c>, which signs.
/// </summary>
internal static class SharedSecret
{
    /// <summary>Characters; shorter ones are guessed.</summary>
    public const int Shortest = 16;

    /// <summary>Those that are set and cannot be used, with the cure.</summary>
    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        (string Setting, string Secret)[] all =
        [
            ("cluster.key", options.Cluster.Key),
            ("telemetry.metricsKey", options.Telemetry.MetricsKey),
            ("webhooks.secret", options.Webhooks.Secret),
        ];
        return all.Where(s => s.Secret.Length is > 0 and < Shortest)
            .Select(s => $"{s.Setting}: has {s.Secret.Length} characters, at least {Shortest} are needed; openssl rand -hex 32 makes one");
    }

    /// <summary>Takes the same time whatever is wrong with it.</summary>
    public static bool Matches(string expected, string? given) =>
        CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(expected)), SHA256.HashData(Encoding.UTF8.GetBytes(given ?? "")));
}
