namespace Myelin.Inference.Models;

/// <summary>Finds what a mistyped word was meant to be.</summary>
public static class Nearest
{
    /// <summary>The candidate within a third of the word's length in edits, or null.</summary>
    public static string? To(string word, IEnumerable<string> candidates)
    {
        if (word.Length > 64)
        {
            return null; // the distance is quadratic, and nobody mistypes that
        }

        var most = Math.Max(1, word.Length / 3);
        return candidates
            .Select(candidate => (candidate, distance: Distance(word.ToLowerInvariant(), candidate.ToLowerInvariant())))
            .Where(pair => pair.distance <= most)
            .OrderBy(pair => pair.distance)
            .Select(pair => pair.candidate)
            .FirstOrDefault();
    }

    /// <summary>Letters to change, add or leave out.</summary>
    public static int Distance(string a, string b)
    {
        var previous = Enumerable.Range(0, b.Length + 1).ToArray();
        var current = new int[b.Length + 1];
        for (var i = 1; i <= a.Length; i++)
        {
            current[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var change = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                current[j] = Math.Min(change, Math.Min(previous[j], current[j - 1]) + 1);
            }

            (previous, current) = (current, previous);
        }

        return previous[b.Length];
    }
}
