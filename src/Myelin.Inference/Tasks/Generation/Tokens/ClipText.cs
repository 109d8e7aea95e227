using System.Globalization;
using System.Text;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// What CLIP's reference tokenizer (the fast one of transformers) does to a text before byte pairs: compose (NFC),
/// lower-case, and split into pieces. Each pass is linear.
/// </summary>
internal static class ClipText
{
    private static readonly string[] s_contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    /// <summary>Composes and lower-cases character by character; İ is the one that becomes two.</summary>
    public static string Clean(string text)
    {
        var clean = new StringBuilder(text.Length);
        foreach (var rune in Nfc.Compose(text).EnumerateRunes())
        {
            clean.Append(rune.Value == 'İ' ? "i\u0307" : Rune.ToLowerInvariant(rune).ToString());
        }

        return clean.ToString();
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

            if (text[at] == '\'' && s_contractions.FirstOrDefault(c => string.CompareOrdinal(text, at, c, 0, c.Length) == 0) is { } contraction)
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
}
