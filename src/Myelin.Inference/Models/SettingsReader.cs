using System.Globalization;
using System.Text.Json;

namespace Myelin.Inference.Models;

/// <summary>
/// Binds one section of <c>model.yaml</c>: every read names the key with its type and range, collects what is wrong
/// and goes on, so that a person sees all errors at once. <see cref="Finish"/> reports the keys that nobody read.
/// </summary>
internal sealed class SettingsReader
{
    private readonly string _file;
    private readonly string _path;
    private readonly JsonElement _section;
    private readonly List<ModelError> _errors;
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);
    private readonly List<SettingsReader> _sections = [];
    private bool _open;

    public SettingsReader(string file, JsonElement root, List<ModelError> errors)
        : this(file, "", root, errors)
    {
    }

    private SettingsReader(string file, string path, JsonElement section, List<ModelError> errors) =>
        (_file, _path, _section, _errors) = (file, path, section, errors);

    /// <summary>False where the section is not in the file; all its keys then read as absent.</summary>
    public bool Present => _section.ValueKind == JsonValueKind.Object;

    public bool Has(string key) => Find(key, out _);

    /// <summary>Where the section stands, such as <c>detection.input</c>, for messages.</summary>
    public string PathOf(string key) => _path.Length == 0 ? key : key.Length == 0 ? _path : $"{_path}.{key}";

    public void Error(string key, string message) => _errors.Add(new ModelError(_file, PathOf(key), message));

    public SettingsReader Section(string key)
    {
        if (Find(key, out var value) && value.ValueKind is not (JsonValueKind.Object or JsonValueKind.Null))
        {
            Error(key, $"is {Show(value)}, but must be a section of keys, such as `{key}: {{…}}`");
            value = default;
        }

        var section = new SettingsReader(_file, PathOf(key), value, _errors);
        _sections.Add(section);
        return section;
    }

    /// <summary>Text; null where absent. <paramref name="choices"/> lists the only words allowed.</summary>
    public string? Text(string key, bool required = false, IReadOnlyList<string>? choices = null)
    {
        if (!Find(key, out var value))
        {
            if (required)
            {
                Error(key, "is missing" + (choices is null ? "" : $"; one of: {string.Join(", ", choices)}"));
            }

            return null;
        }

        var text = value.ValueKind switch
        {
            JsonValueKind.String => value.GetString()!,
            JsonValueKind.Number => value.GetRawText(),
            _ => null,
        };
        if (text is null)
        {
            Error(key, $"is {Show(value)}, but must be text");
        }
        else if (choices is not null && !choices.Contains(text))
        {
            Error(key, $"is '{text}', but must be one of: {string.Join(", ", choices)}{Suggestion(text, choices)}");
            return null;
        }

        return text;
    }

    public double? Number(string key, double minimum, double maximum, bool required = false)
    {
        if (!Find(key, out var value))
        {
            if (required)
            {
                Error(key, $"is missing; a number from {Invariant(minimum)} to {Invariant(maximum)}");
            }

            return null;
        }

        if (value.ValueKind != JsonValueKind.Number || value.GetDouble() is var number && !(number >= minimum && number <= maximum))
        {
            Error(key, $"is {Show(value)}, but must be a number from {Invariant(minimum)} to {Invariant(maximum)}");
            return null;
        }

        return number;
    }

    public int? Integer(string key, int minimum, int maximum, bool required = false)
    {
        var number = Number(key, minimum, maximum, required);
        if (number is not null && number != Math.Floor(number.Value))
        {
            Error(key, $"is {Invariant(number.Value)}, but must be a whole number");
            return null;
        }

        return (int?)number;
    }

    public bool? Flag(string key)
    {
        if (!Find(key, out var value))
        {
            return null;
        }

        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
        {
            return value.GetBoolean();
        }

        Error(key, $"is {Show(value)}, but must be true or false");
        return null;
    }

    /// <summary>A list of exactly <paramref name="count"/> numbers; null where absent or wrong.</summary>
    public double[]? Numbers(string key, int count, double minimum, double maximum, bool required = false)
    {
        if (!Find(key, out var value))
        {
            if (required)
            {
                Error(key, $"is missing; a list of {count} numbers from {Invariant(minimum)} to {Invariant(maximum)}");
            }

            return null;
        }

        if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == count)
        {
            var numbers = value.EnumerateArray().Select(v => v.ValueKind == JsonValueKind.Number ? v.GetDouble() : double.NaN).ToArray();
            if (numbers.All(number => number >= minimum && number <= maximum))
            {
                return numbers;
            }
        }

        Error(key, $"is {Show(value)}, but must be a list of {count} numbers from {Invariant(minimum)} to {Invariant(maximum)}");
        return null;
    }

    /// <summary>A list of texts; null where absent or wrong.</summary>
    public string[]? Texts(string key, int most)
    {
        if (!Find(key, out var value))
        {
            return null;
        }

        if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() <= most
            && value.EnumerateArray().All(v => v.ValueKind is JsonValueKind.String or JsonValueKind.Number))
        {
            return [.. value.EnumerateArray().Select(v => v.ValueKind == JsonValueKind.String ? v.GetString()! : v.GetRawText())];
        }

        Error(key, $"is {Show(value)}, but must be a list of at most {most} texts");
        return null;
    }

    /// <summary>A time such as <c>2ms</c>, <c>60s</c>, <c>5m</c>.</summary>
    public TimeSpan? Duration(string key, TimeSpan maximum)
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        if (Durations.Parse(text) is { } duration && duration <= maximum)
        {
            return duration;
        }

        Error(key, $"is '{text}', but must be a time such as 2ms, 60s or 5m, at most {maximum.TotalSeconds}s");
        return null;
    }

    /// <summary>Bytes, such as <c>512MiB</c>, <c>2GiB</c> or a plain number; null where absent or wrong.</summary>
    public long? Size(string key, long minimum, long maximum)
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        foreach (var (unit, bytes) in new[] { ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("", 1L) })
        {
            if (text.EndsWith(unit, StringComparison.Ordinal)
                && decimal.TryParse(text[..^unit.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
                && number <= maximum / bytes && number * bytes >= minimum)
            {
                return (long)(number * bytes);
            }
        }

        Error(key, $"is '{text}', but must be a size such as 512MiB or 2GiB, from {minimum >> 20}MiB");
        return null;
    }

    /// <summary>Texts by name; null where absent or wrong.</summary>
    public IReadOnlyDictionary<string, string>? TextMap(string key, int most)
    {
        if (!Find(key, out var value))
        {
            return null;
        }

        if (value.ValueKind == JsonValueKind.Object && value.EnumerateObject().Count() <= most
            && value.EnumerateObject().All(p => p.Value.ValueKind is JsonValueKind.String or JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False))
        {
            return value.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.ValueKind == JsonValueKind.String ? p.Value.GetString()! : p.Value.GetRawText());
        }

        Error(key, $"is {Show(value)}, but must be at most {most} names with a text each");
        return null;
    }

    /// <summary>The sections of a list; empty where absent or wrong.</summary>
    public IReadOnlyList<SettingsReader> Sections(string key, int most)
    {
        if (!Find(key, out var value))
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > most || value.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.Object))
        {
            Error(key, $"is {Show(value)}, but must be a list of at most {most} sections, such as `- {{name: …}}`");
            return [];
        }

        var sections = value.EnumerateArray().Select((item, index) => new SettingsReader(_file, $"{PathOf(key)}[{index}]", item, _errors)).ToList();
        _sections.AddRange(sections);
        return sections;
    }

    /// <summary>Any value; null where absent.</summary>
    public JsonElement? Value(string key) => Find(key, out var value) ? value : null;

    /// <summary>Accepts any keys: the section belongs to a reader that is not here.</summary>
    public void AllowRest() => _open = true;

    /// <summary>Accepts <paramref name="key"/>, whatever it holds.</summary>
    public void Allow(string key) => _known.Add(key);

    /// <summary>Refuses <paramref name="key"/>: a key that changes nothing would be believed.</summary>
    public void NotYet(string key, string instead)
    {
        if (Find(key, out _))
        {
            Error(key, $"is not supported yet ({instead}); remove it");
        }
        else
        {
            _known.Remove(key);
        }
    }

    /// <summary>Reports keys that no reader asked for, here and in the sections below, with the nearest known key.</summary>
    public void Finish()
    {
        if (Present && !_open)
        {
            foreach (var property in _section.EnumerateObject().Where(property => !_known.Contains(property.Name)))
            {
                Error(property.Name, $"is not a known key{Suggestion(property.Name, _known)}; known here: {string.Join(", ", _known.Order(StringComparer.Ordinal))}");
            }
        }

        foreach (var section in _sections)
        {
            section.Finish();
        }
    }

    private bool Find(string key, out JsonElement value)
    {
        _known.Add(key);
        value = default;
        return Present && _section.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;
    }

    private static string Suggestion(string word, IEnumerable<string> candidates) =>
        Nearest.To(word, candidates) is { } nearest ? $" (did you mean '{nearest}'?)" : "";

    private static string Show(JsonElement value)
    {
        var text = value.GetRawText();
        return text.Length <= 60 ? text : text[..57] + "…";
    }

    private static string Invariant(double number) => number.ToString(CultureInfo.InvariantCulture);
}
