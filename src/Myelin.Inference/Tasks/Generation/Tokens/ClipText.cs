using System.Globalization;
using System.Text;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// What CLIP's reference tokenizer does to a text before byte pairs: drop control marks, turn whitespace to spaces,
/// put spaces around Chinese characters, compose (NFC), lower-case, and split into pieces. Each pass is linear.
/// </summary>
internal static class ClipText
{
    private static readonly string[] Contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    /// <summary>Normalises <paramref name="text"/>; words end up separated by whitespace.</summary>
    public static string Clean(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            if (rune.Value is 0 or 0xFFFD || IsControl(rune))
            {
                continue;
            }

            if (rune.Value is ' ' or '\t' or '\n' or '\r' || Rune.GetUnicodeCategory(rune) == UnicodeCategory.SpaceSeparator)
            {
                clean.Append(' ');
            }
            else if (IsChinese(rune.Value))
            {
                clean.Append(' ').Append(rune.ToString()).Append(' ');
            }
            else
            {
                clean.Append(rune.ToString());
            }
        }

        return Lower(Nfc.Compose(clean.ToString()));
    }

    /// <summary>
    /// Splits a cleaned text: contractions ('s, 't, 're …), runs of letters, single digits, runs of anything else.
    /// Lazy, so that a caller who has enough tokens stops the work.
    /// </summary>
    public static IEnumerable<string> Split(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            var (kind, length) = KindAt(text, at);
            var end = at + length;
            if (kind == Kind.Space)
            {
                at = end;
                continue;
            }

            if (text[at] == '\'' && Contractions.FirstOrDefault(c => string.CompareOrdinal(text, at, c, 0, c.Length) == 0) is { } contraction)
            {
                end = at + contraction.Length;
            }
            else if (kind != Kind.Number)
            {
                while (end < text.Length && KindAt(text, end) is var (next, width) && next == kind)
                {
                    end += width;
                }
            }

            yield return text[at..end];
            at = end;
        }
    }

    private enum Kind
    {
        Space,
        Letter,
        Number,
        Other,
    }

    private static (Kind Kind, int Length) KindAt(string text, int at)
    {
        _ = Rune.TryGetRuneAt(text, at, out var rune);
        var kind = Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
            _ => Rune.IsWhiteSpace(rune) ? Kind.Space : Kind.Other,
        };
        return (kind, Math.Max(rune.Utf16SequenceLength, 1));
    }

    private static bool IsControl(Rune rune) => rune.Value is not ('\t' or '\n' or '\r') && Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned;

    private static bool IsChinese(int point) => point is
        (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF) or (>= 0x20000 and <= 0x2A6DF) or (>= 0x2A700 and <= 0x2B73F)
        or (>= 0x2B740 and <= 0x2B81F) or (>= 0x2B820 and <= 0x2CEAF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);

    /// <summary>Full lower-casing: the two mappings that a character-wise one misses are İ and the final sigma.</summary>
    private static string Lower(string text)
    {
        var lower = new StringBuilder(text.Length);
        var beforeIsLetter = false;
        for (var at = 0; at < text.Length;)
        {
            var (kind, length) = KindAt(text, at);
            if (text[at] == 'İ')
            {
                lower.Append("i\u0307");
            }
            else if (text[at] == 'Σ')
            {
                var afterIsLetter = at + 1 < text.Length && KindAt(text, at + 1).Kind == Kind.Letter;
                lower.Append(beforeIsLetter && !afterIsLetter ? 'ς' : 'σ');
            }
            else
            {
                _ = Rune.TryGetRuneAt(text, at, out var rune);
                lower.Append(Rune.ToLowerInvariant(rune).ToString());
            }

            beforeIsLetter = kind == Kind.Letter;
            at += length;
        }

        return lower.ToString();
    }
}
