using System.Globalization;
using System.Text;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// Unicode normalisation form C. The platform's own leaves text as it is when globalisation is invariant (no ICU on
/// the machine), and a tokenizer that skips it reads "e + accent" as other tokens than the network was trained on.
/// Data: <c>nfc.txt</c> beside this file.
/// </summary>
internal static class Nfc
{
    private const int HangulBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7;
    private const int LCount = 19, VCount = 21, TCount = 28, HangulCount = LCount * VCount * TCount;

    private static readonly Tables s_data = Tables.Read();

    /// <summary>Composes <paramref name="text"/>; a lone surrogate becomes U+FFFD.</summary>
    public static string Compose(string text)
    {
        if (text.All(c => c < 0x300))
        {
            return text; // Below the first combining mark everything is composed already.
        }

        var points = Order(Decompose(text));
        return Recompose(points);
    }

    private static List<int> Decompose(string text)
    {
        var points = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            Decompose(rune.Value, points);
        }

        return points;
    }

    private static void Decompose(int point, List<int> into)
    {
        var hangul = point - HangulBase;
        if (hangul is >= 0 and < HangulCount)
        {
            into.Add(LBase + (hangul / (VCount * TCount)));
            into.Add(VBase + (hangul % (VCount * TCount) / TCount));
            if (hangul % TCount != 0)
            {
                into.Add(TBase + (hangul % TCount));
            }
        }
        else if (s_data.Decompositions.TryGetValue(point, out var parts))
        {
            Decompose(parts.First, into);
            if (parts.Second != 0)
            {
                into.Add(parts.Second);
            }
        }
        else
        {
            into.Add(point);
        }
    }

    /// <summary>Puts each run of combining marks into the order of their classes (stable).</summary>
    private static List<int> Order(List<int> points)
    {
        for (var start = 0; start < points.Count;)
        {
            var end = start;
            while (end < points.Count && s_data.ClassOf(points[end]) != 0)
            {
                end++;
            }

            if (end - start > 1)
            {
                var sorted = points.GetRange(start, end - start).OrderBy(s_data.ClassOf).ToList();
                for (var i = 0; i < sorted.Count; i++)
                {
                    points[start + i] = sorted[i];
                }
            }

            start = Math.Max(end, start + 1);
        }

        return points;
    }

    private static string Recompose(List<int> points)
    {
        var starter = -1;
        var lastClass = 0;
        var kept = new List<int>(points.Count);
        foreach (var point in points)
        {
            var ownClass = s_data.ClassOf(point);
            var adjacent = starter == kept.Count - 1;
            if (starter >= 0 && (adjacent || (lastClass != 0 && lastClass < ownClass)) && Pair(kept[starter], point) is { } composed)
            {
                kept[starter] = composed;
                continue;
            }

            if (ownClass == 0)
            {
                starter = kept.Count;
            }

            lastClass = ownClass;
            kept.Add(point);
        }

        var text = new StringBuilder(kept.Count);
        foreach (var point in kept)
        {
            text.Append(new Rune(point).ToString());
        }

        return text.ToString();
    }

    private static int? Pair(int first, int second)
    {
        var l = first - LBase;
        var v = second - VBase;
        if (l is >= 0 and < LCount && v is >= 0 and < VCount)
        {
            return HangulBase + (((l * VCount) + v) * TCount);
        }

        var syllable = first - HangulBase;
        var t = second - TBase;
        if (syllable is >= 0 and < HangulCount && syllable % TCount == 0 && t is > 0 and < TCount)
        {
            return first + t;
        }

        return s_data.Compositions.TryGetValue((first, second), out var composed) ? composed : null;
    }

    private sealed record Tables(
        Dictionary<int, (int First, int Second)> Decompositions,
        Dictionary<(int First, int Second), int> Compositions,
        Dictionary<int, byte> Classes)
    {
        public byte ClassOf(int point) => point < 0x300 ? (byte)0 : Classes.GetValueOrDefault(point);

        public static Tables Read()
        {
            var tables = new Tables([], [], []);
            using var stream = typeof(Nfc).Assembly.GetManifestResourceStream("Myelin.Inference.nfc.txt")
                ?? throw new InvalidOperationException("the build did not embed nfc.txt");
            using var reader = new StreamReader(stream);
            while (reader.ReadLine() is { } line)
            {
                tables.Add(line.Split(' '));
            }

            return tables;
        }

        private void Add(string[] words)
        {
            if (words[0] == "d")
            {
                var (point, first, second) = (Hex(words[1]), Hex(words[2]), words.Length > 3 ? Hex(words[3]) : 0);
                Decompositions.Add(point, (first, second));
                if (words.Length == 4)
                {
                    Compositions.Add((first, second), point);
                }
            }
            else if (words[0] == "c")
            {
                var range = words[2].Split('-');
                for (var point = Hex(range[0]); point <= Hex(range[^1]); point++)
                {
                    Classes.Add(point, byte.Parse(words[1], CultureInfo.InvariantCulture));
                }
            }
        }

        private static int Hex(string digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
