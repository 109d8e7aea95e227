using System.Buffers;
using System.Security.Cryptography;
using System.Text;

namespace Myelin.Hosting.Accounts;

/// <summary>A stored key: everything but the secret, of which only the hash is kept.</summary>
internal sealed record ApiKey
{
    /// <summary>The public half, 12 characters; shown in lists and logs.</summary>
    public required string Id { get; init; }

    /// <summary>SHA-256 of the secret's characters. The secret has 256 random bits, so a slow hash would add nothing.</summary>
    public required ReadOnlyMemory<byte> Hash { get; init; }

    public required string Tenant { get; init; }

    public required string Name { get; init; }

    public required Scopes Scopes { get; init; }

    public required DateTimeOffset Created { get; init; }

    public DateTimeOffset? LastUsed { get; init; }

    public DateTimeOffset? Revoked { get; init; }
}

/// <summary>The text of a key, <c>mk_&lt;id&gt;_&lt;secret&gt;</c>: lower-case base 32, so a double click selects all of it.</summary>
internal static class ApiKeyText
{
    private const string Alphabet = "abcdefghijklmnopqrstuvwxyz234567";
    private static readonly SearchValues<char> s_letters = SearchValues.Create(Alphabet);
    private const string Prefix = "mk_";
    public const int IdLength = 12;
    public const int SecretLength = 52; // 260 bits
    public const int Length = 3 + IdLength + 1 + SecretLength;

    public static (string Id, string Secret) Generate() =>
        (RandomNumberGenerator.GetString(Alphabet, IdLength), RandomNumberGenerator.GetString(Alphabet, SecretLength));

    public static string Format(string id, string secret) => $"{Prefix}{id}_{secret}";

    /// <summary>Splits a key; false for anything of another form.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out ReadOnlySpan<char> id, out ReadOnlySpan<char> secret)
    {
        id = secret = default;
        if (text.Length != Length || !text.StartsWith(Prefix) || text[Prefix.Length + IdLength] != '_')
        {
            return false;
        }

        id = text.Slice(Prefix.Length, IdLength);
        secret = text[(Prefix.Length + IdLength + 1)..];
        return !id.ContainsAnyExcept(s_letters) && !secret.ContainsAnyExcept(s_letters);
    }

    /// <param name="secret">Of a parsed key: ASCII.</param>
    /// <param name="hash">32 bytes.</param>
    public static void Hash(ReadOnlySpan<char> secret, Span<byte> hash)
    {
        Span<byte> bytes = stackalloc byte[SecretLength];
        var length = Encoding.ASCII.GetBytes(secret, bytes);
        SHA256.HashData(bytes[..length], hash);
    }
}
