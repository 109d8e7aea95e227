using System.Globalization;
using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Myelin.Inference.Models;

/// <summary>
/// YAML → JSON with limits. Reads parser events itself: the object model of the library recurses without a depth
/// limit and expands aliases, and a model folder may come from a stranger's upload.
/// </summary>
internal static class ModelYaml
{
    public const int MaxBytes = 256 * 1024;
    public const int MaxDepth = 16;
    public const int MaxNodes = 20_000;

    /// <returns>The root mapping, or null with <paramref name="errors"/> telling line and cure.</returns>
    public static JsonObject? Parse(string file, string text, List<ModelError> errors)
    {
        if (text.Length > MaxBytes)
        {
            errors.Add(new ModelError(file, "", $"is {text.Length} characters long; the limit is {MaxBytes}"));
            return null;
        }

        try
        {
            var parser = new Parser(new StringReader(text));
            parser.Consume<StreamStart>();
            if (parser.Accept<StreamEnd>(out _))
            {
                throw new YamlException("is empty; it needs at least `task`");
            }

            parser.Consume<DocumentStart>();
            var nodes = 0;
            var root = Node(parser, 0, ref nodes);
            return root as JsonObject ?? throw new YamlException("must be a mapping of keys to values, such as `task: object-detection`");
        }
        catch (YamlException fault)
        {
            var where = fault.Start.Line > 1 || fault.Start.Column > 1 ? $"line {fault.Start.Line}, column {fault.Start.Column}: " : "";
            errors.Add(new ModelError(file, "", where + fault.Message));
            return null;
        }
    }

    private static JsonNode? Node(Parser parser, int depth, ref int nodes)
    {
        var start = parser.Current!.Start;
        if (depth > MaxDepth)
        {
            throw new YamlException(start, start, $"is nested deeper than {MaxDepth} levels");
        }

        if (++nodes > MaxNodes)
        {
            throw new YamlException(start, start, $"holds more than {MaxNodes} values");
        }

        if (parser.TryConsume<Scalar>(out var scalar))
        {
            return Value(scalar);
        }

        if (parser.TryConsume<SequenceStart>(out _))
        {
            var array = new JsonArray();
            while (!parser.TryConsume<SequenceEnd>(out _))
            {
                array.Add(Node(parser, depth + 1, ref nodes));
            }

            return array;
        }

        if (parser.TryConsume<MappingStart>(out _))
        {
            var json = new JsonObject();
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                var key = parser.TryConsume<Scalar>(out var name)
                    ? name.Value
                    : throw new YamlException(parser.Current!.Start, parser.Current.End, "a key must be plain text");
                var value = Node(parser, depth + 1, ref nodes);
                if (!json.TryAdd(key, value))
                {
                    throw new YamlException(name.Start, name.End, $"the key '{key}' stands here twice");
                }
            }

            return json;
        }

        throw new YamlException(start, start, "aliases (`*name`) are not supported; write the value out");
    }

    private static JsonValue? Value(Scalar scalar)
    {
        var text = scalar.Value;
        if (scalar.Style != ScalarStyle.Plain || !scalar.IsPlainImplicit)
        {
            return JsonValue.Create(text);
        }

        return text switch
        {
            "" or "~" or "null" => null,
            "true" => JsonValue.Create(true),
            "false" => JsonValue.Create(false),
            _ when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) => JsonValue.Create(whole),
            _ when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) => JsonValue.Create(number),
            _ => JsonValue.Create(text),
        };
    }
}
