using System.Text.Json;
using Microsoft.ML.Tokenizers;
using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Generation.Tokens;

/// <summary>
/// CLIP's tokenizer, equal to the reference id by id. Reads a tokenizer folder of the diffusers layout
/// (<c>vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json</c>). Byte pairs are the library's, which
/// remembers a bounded number of short words; safe for concurrent calls.
/// </summary>
internal sealed class ClipTokenizer
{
    private readonly BpeTokenizer _pairs;
    private readonly SpecialToken[] _raw, _cleaned;
    private readonly int _begin, _end, _pad;

    private ClipTokenizer(BpeTokenizer pairs, IEnumerable<SpecialToken> special, (int Begin, int End, int Pad) ids, int length)
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
        foreach (var (piece, special) in Pieces(text))
        {
            if (count == Length - 1)
            {
                break;
            }

            if (special is { } id)
            {
                ids[count++] = id;
                continue;
            }

            foreach (var token in _pairs.EncodeToIds(piece, Length - 1 - count, out _, out _))
            {
                ids[count++] = token;
            }
        }

        ids[count] = _end;
        return ids;
    }

    /// <exception cref="ModelException">A file is missing or broken; names it.</exception>
    public static ClipTokenizer Load(ModelFiles files, string folder)
    {
        var vocabulary = ReadVocabulary(files, $"{folder}/vocab.json");
        var merges = ReadMerges(files, $"{folder}/merges.txt", vocabulary.Count);
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
        var options = new BpeOptions(vocabulary)
        {
            Merges = merges,
            PreTokenizer = new ClipWords(length * vocabulary.Keys.Max(token => token.Length)),
            UnknownToken = unknown,
            EndOfWordSuffix = "</w>",
            ByteLevel = true,
        };
        try
        {
            return new ClipTokenizer(BpeTokenizer.Create(options), special.Values, (Id(begin), Id(end), Id(pad)), length);
        }
        catch (Exception fault) when (fault is InvalidOperationException or ArgumentException)
        {
            throw ModelFiles.Broken($"{folder}/merges.txt", "", $"does not go with vocab.json: {fault.Message}");
        }
    }

    /// <summary>Special tokens are cut out, longest first: those marked so from the raw text, the others once it is cleaned.</summary>
    private IEnumerable<(string Text, int? Special)> Pieces(string text) => Cut(text, _raw).SelectMany(raw =>
        raw.Special is null ? Cut(ClipText.Clean(raw.Text), _cleaned) : [raw]);

    private static IEnumerable<(string Text, int? Special)> Cut(string text, SpecialToken[] tokens)
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

    private static List<string> ReadMerges(ModelFiles files, string path, int vocabularySize)
    {
        var merges = files.Lines(path).Skip(1).Where(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length == 2).Take(vocabularySize).ToList();
        return merges.Count > 0 ? merges : throw ModelFiles.Broken(path, "", "holds no merges; the file is cut short or of another kind");
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
