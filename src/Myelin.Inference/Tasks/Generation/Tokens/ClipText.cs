using System.Text;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// What CLIP's reference tokenizer (the fast one of transformers) does to a text before it splits it: compose (NFC) and
/// lower-case. Each pass is linear.
/// </summary>
internal static class ClipText
{
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
}
