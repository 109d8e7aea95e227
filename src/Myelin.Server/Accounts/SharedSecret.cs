using System.Security.Cryptography;
using System.Text;

namespace Myelin.Server.Accounts;

/// <summary>
/// A secret from the settings, known without the database: <c>cluster.key</c>, which gateways show to workers, and
/// <c>telemetry.metricsKey</c>, which opens <c>/metrics</c> so that the watch does not end when the database does.
/// </summary>
internal static class SharedSecret
{
    /// <summary>Characters; shorter ones are guessed.</summary>
    public const int Shortest = 16;

    /// <summary>Why it cannot be used, with the cure; null where it can, or none is set.</summary>
    public static string? Error(string setting, string secret) => secret.Length is > 0 and < Shortest
        ? $"{setting}: has {secret.Length} characters, at least {Shortest} are needed; openssl rand -hex 32 makes one"
        : null;

    /// <summary>Takes the same time whatever is wrong with it.</summary>
    public static bool Matches(string expected, string? given) =>
        CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(expected)), SHA256.HashData(Encoding.UTF8.GetBytes(given ?? "")));
}
