using System.Collections.Concurrent;
using System.Text;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// Byte-level byte-pair encoding with an end-of-word mark. Safe for concurrent calls. Merging uses a queue, so a word
/// of n bytes costs n·log n, not n²; short words are remembered, at most <paramref name="cacheSize"/> of them.
/// </summary>
internal sealed class BytePairs(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyDictionary<(string Left, string Right), int> ranks, int unknown, int cacheSize)
{
    private const string EndOfWord = "</w>";
    private const int LongestCachedWord = 64;

    private static readonly string[] s_byteSymbols = MakeByteSymbols();

    private readonly ConcurrentDictionary<string, int[]> _cache = new(StringComparer.Ordinal);

    /// <summary>Token ids of one word (a piece of the split, cleaned text).</summary>
    public int[] Encode(string word)
    {
        if (_cache.TryGetValue(word, out var known))
        {
            return known;
        }

        var ids = Merge(Encoding.UTF8.GetBytes(word));
        if (word.Length <= LongestCachedWord)
        {
            if (_cache.Count >= cacheSize)
            {
                _cache.Clear(); // Words follow no order worth keeping; starting over costs one encoding each.
            }

            _cache[word] = ids;
        }

        return ids;
    }

    private int[] Merge(byte[] bytes)
    {
        var symbols = new string?[bytes.Length];
        var (next, previous) = (new int[bytes.Length], new int[bytes.Length]);
        for (var i = 0; i < bytes.Length; i++)
        {
            symbols[i] = i == bytes.Length - 1 ? s_byteSymbols[bytes[i]] + EndOfWord : s_byteSymbols[bytes[i]];
            (next[i], previous[i]) = (i + 1, i - 1);
        }

        var candidates = new PriorityQueue<(int Left, string First, string Second), (int Rank, int Position)>();
        void Offer(int left)
        {
            if (left >= 0 && next[left] < symbols.Length && ranks.TryGetValue((symbols[left]!, symbols[next[left]]!), out var rank))
            {
                candidates.Enqueue((left, symbols[left]!, symbols[next[left]]!), (rank, left));
            }
        }

        for (var i = 0; i + 1 < symbols.Length; i++)
        {
            Offer(i);
        }

        while (candidates.TryDequeue(out var pair, out _))
        {
            var right = next[pair.Left];
            if (symbols[pair.Left] != pair.First || right >= symbols.Length || symbols[right] != pair.Second)
            {
                continue; // One side was merged meanwhile.
            }

            symbols[pair.Left] = pair.First + pair.Second;
            symbols[right] = null;
            next[pair.Left] = next[right];
            if (next[right] < symbols.Length)
            {
                previous[next[right]] = pair.Left;
            }

            Offer(previous[pair.Left]);
            Offer(pair.Left);
        }

        return [.. symbols.Where(s => s is not null).Select(s => vocabulary.GetValueOrDefault(s!, unknown))];
    }

    /// <summary>A printable character for each byte, as GPT-2 and CLIP chose them.</summary>
    private static string[] MakeByteSymbols()
    {
        var symbols = new string[256];
        var spare = 256;
        for (var value = 0; value < 256; value++)
        {
            var printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            symbols[value] = ((char)(printable ? value : spare++)).ToString();
        }

        return symbols;
    }
}
