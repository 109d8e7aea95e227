using System.Globalization;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// Splits a cleaned text as CLIP does: contractions ('s, 't, 're …), runs of letters, single digits, runs of anything
/// else. By code points: a regular expression of .NET takes letters beyond the first plane (𝐚) for something else. Lazy,
/// so that who has enough tokens stops the work.
/// </summary>
/// <param name="longest">Longer words are cut: merging costs the square of their length, and nothing is read that far.</param>
internal sealed class ClipWords(int longest) : PreTokenizer
{
    private static readonly string[] s_contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => PreTokenize(text.ToString());

    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text)
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
                while (end < text.Length && end - at < longest && KindAt(text, end) is var (next, width) && next == kind)
                {
                    end += width;
                }
            }

            yield return (at, end - at);
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
