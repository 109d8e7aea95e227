using System.Security.Cryptography;

namespace Myelin.Jobs;

/// <summary>
/// Makes job ids: 26 lower-case characters of Crockford's base 32, 48 bits of milliseconds and 80 random bits, as a
/// ULID. Ids of one maker sort in the order they were made, also within a millisecond and when the clock steps back.
/// </summary>
internal sealed class JobIds(TimeProvider time)
{
    public const int Length = 26;

    private const string Alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

    private readonly Lock _gate = new();
    private long _milliseconds;
    private UInt128 _random;

    public string Next()
    {
        UInt128 value;
        lock (_gate)
        {
            var now = time.GetUtcNow().ToUnixTimeMilliseconds();
            if (now > _milliseconds)
            {
                _milliseconds = now;
                _random = Random80();
            }
            else if (++_random >> 80 != 0)
            {
                _milliseconds++;
                _random = Random80();
            }

            value = ((UInt128)(ulong)_milliseconds << 80) | _random;
        }

        return string.Create(Length, value, static (characters, bits) =>
        {
            for (var i = characters.Length - 1; i >= 0; i--, bits >>= 5)
            {
                characters[i] = Alphabet[(int)(bits & 31)];
            }
        });
    }

    /// <summary>True for a text that could be an id: safe in a path and a query. They begin with 0 until the year 3084.</summary>
    public static bool IsValid(string text) => text.Length == Length && text[0] == '0' && text.All(Alphabet.Contains);

    /// <summary>When an id was made, by its maker's clock.</summary>
    public static DateTimeOffset Time(string id)
    {
        var milliseconds = 0L;
        foreach (var digit in id.AsSpan(0, 10))
        {
            milliseconds = (milliseconds << 5) | (long)Alphabet.IndexOf(digit, StringComparison.Ordinal);
        }

        return DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
    }

    private static UInt128 Random80()
    {
        Span<byte> bytes = stackalloc byte[16];
        bytes[10..].Clear();
        RandomNumberGenerator.Fill(bytes[..10]);

        // The top bit stays free, so that counting up from here cannot overflow soon.
        bytes[9] &= 0x7f;
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128LittleEndian(bytes);
    }
}
