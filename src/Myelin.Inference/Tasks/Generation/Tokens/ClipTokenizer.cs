using System.Text.Json;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Generation.Pipeline;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// CLIP's tokenizer, equal to the reference id by id. Reads a tokenizer folder of the diffusers layout
/// (<c>vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json</c>). Immutable but for a bounded
/// cache; safe for concurrent calls.
/// </summary>
internal sealed class ClipTokenizer
{
    private const int CacheSize = 4096;

    private readonly BytePairs _pairs;
    private readonly SpecialToken[] _raw, _cleaned;
    private readonly int _begin, _end, _pad;

    private ClipTokenizer(BytePairs pairs, IEnumerable<SpecialToken> special, (int Begin, int End, int Pad) ids, int length)
    {
        _pairs = pairs;
        var longestFirst = special.OrderByDescending(s => s.Text.Length).ToLookup(s => s.Cleaned);
        (_raw, _cleaned) = ([.. longestFirst[false]], [.. longestFirst[true]]);
        (_begin, _end, _pad) = ids;
        Length = length;
    }

    /// <summary>Ids per text (77 for CLIP).</summary>
    public int Length { get; }

    /// <summary>
    /// <see cref="Length"/> ids: begin, the text's tokens (cut where they do not fit), end, padding. Work is bounded
    /// by what fits: a long text is read only until the ids are full.
    /// </summary>
    public int[] Encode(string text)
    {
        var ids = new int[Length];
        Array.Fill(ids, _pad);
        ids[0] = _begin;
        var count = 1;
        foreach (var id in Tokens(text))
        {
            if (count == Length - 1)
            {
                break;
            }

            ids[count++] = id;
        }

        ids[count] = _end;
        return ids;
    }

    /// <exception cref="ModelException">A file is missing or broken; names it.</exception>
    public static ClipTokenizer Load(ModelFiles files, string folder)
    {
        var vocabulary = ReadVocabulary(files, $"{folder}/vocab.json");
        var ranks = ReadMerges(files, $"{folder}/merges.txt", vocabulary.Count);
        var config = files.TryJson($"{folder}/tokenizer_config.json") ?? default;
        var map = files.TryJson($"{folder}/special_tokens_map.json") ?? default;
        string Name(string key, string fallback) => Content(map, key) ?? Content(config, key) ?? fallback;
        int Id(string token) => vocabulary.TryGetValue(token, out var id)
            ? id
            : throw ModelFiles.Broken($"{folder}/vocab.json", "", $"has no entry for the special token '{token}'");

        var (begin, end) = (Name("bos_token", "<|startoftext|>"), Name("eos_token", "<|endoftext|>"));
        var (unknown, pad) = (Name("unk_token", end), Name("pad_token", end));
        var special = new[] { begin, end, unknown, pad }.Distinct()
            .ToDictionary(t => t, t => new SpecialToken(t, Id(t), IsCleaned(map, t) || IsCleaned(config, t)), StringComparer.Ordinal);
        AddDeclared(config, special);
        var length = config.ValueKind == JsonValueKind.Object && config.TryGetProperty("model_max_length", out var max)
            && max.TryGetInt32(out var given) && given is > 2 and <= 4096 ? given : 77;
        return new ClipTokenizer(
            new BytePairs(vocabulary, ranks, Id(unknown), CacheSize), special.Values, (Id(begin), Id(end), Id(pad)), length);
    }

    /// <summary>Special tokens are cut out, longest first: those marked so from the raw text, the others once it is cleaned.</summary>
    private IEnumerable<int> Tokens(string text)
    {
        foreach (var (raw, id) in Cut(text, _raw))
        {
            if (id is { } special)
            {
                yield return special;
                continue;
            }

            foreach (var (clean, cleanId) in Cut(ClipText.Clean(raw), _cleaned))
            {
                if (cleanId is { } known)
                {
                    yield return known;
                    continue;
                }

                foreach (var token in ClipText.Split(clean).SelectMany(_pairs.Encode))
                {
                    yield return token;
                }
            }
        }
    }

    private static IEnumerable<(string Text, int? Id)> Cut(string text, SpecialToken[] tokens)
    {
        var start = 0;
        for (var at = 0; at < text.Length;)
        {
            var found = tokens.FirstOrDefault(t => string.CompareOrdinal(text, at, t.Text, 0, t.Text.Length) == 0);
            if (found is null)
            {
                at++;
                continue;
            }

            yield return (text[start..at], null);
            yield return (found.Text, found.Id);
            at += found.Text.Length;
            start = at;
        }

        yield return (text[start..], null);
    }

    /// <param name="Text">As it stands in a prompt.</param>
    /// <param name="Id">Its token.</param>
    /// <param name="Cleaned">Looked for in the cleaned text, so in any case.</param>
    private sealed record SpecialToken(string Text, int Id, bool Cleaned);

    private static Dictionary<string, int> ReadVocabulary(ModelFiles files, string path)
    {
        var root = files.Json(path);
        var vocabulary = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var entry in root.EnumerateObject())
        {
            if (!entry.Value.TryGetInt32(out var id))
            {
                throw ModelFiles.Broken(path, entry.Name, "an id must be a whole number");
            }

            vocabulary[entry.Name] = id;
        }

        return vocabulary;
    }

    private static Dictionary<(string Left, string Right), int> ReadMerges(ModelFiles files, string path, int vocabularySize)
    {
        var ranks = new Dictionary<(string, string), int>();
        foreach (var line in files.Lines(path).Skip(1))
        {
            var parts = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (parts.Length == 2 && ranks.Count < vocabularySize)
            {
                ranks.TryAdd((parts[0], parts[1]), ranks.Count);
            }
        }

        return ranks.Count > 0 ? ranks : throw ModelFiles.Broken(path, "", "holds no merges; the file is cut short or of another kind");
    }

    private static string? Content(JsonElement root, string key) =>
        root.ValueKind != JsonValueKind.Object || !root.TryGetProperty(key, out var token) ? null
        : token.ValueKind == JsonValueKind.String ? token.GetString()
        : token.ValueKind == JsonValueKind.Object ? Text(token) : null;

    /// <summary>Whether a token declared as an object under any key is one to look for in the cleaned text.</summary>
    private static bool IsCleaned(JsonElement root, string token) => root.ValueKind == JsonValueKind.Object
        && root.EnumerateObject().Any(p => p.Value.ValueKind == JsonValueKind.Object && Text(p.Value) == token && Normalized(p.Value));

    private static void AddDeclared(JsonElement config, Dictionary<string, SpecialToken> special)
    {
        if (config.ValueKind != JsonValueKind.Object || !config.TryGetProperty("added_tokens_decoder", out var added)
            || added.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        foreach (var entry in added.EnumerateObject())
        {
            if (int.TryParse(entry.Name, out var id) && entry.Value.ValueKind == JsonValueKind.Object && Text(entry.Value) is { Length: > 0 } token)
            {
                special[token] = new SpecialToken(token, id, Normalized(entry.Value));
            }
        }
    }

    private static string? Text(JsonElement token) =>
        token.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String ? content.GetString() : null;

    private static bool Normalized(JsonElement token) => token.TryGetProperty("normalized", out var flag) && flag.ValueKind == JsonValueKind.True;
}
