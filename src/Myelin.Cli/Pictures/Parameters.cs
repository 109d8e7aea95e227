using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Myelin.Cli.Pictures;

/// <summary>Collects a job's parameters, typed as the model's contract says.</summary>
internal sealed class Parameters(Model model)
{
    private readonly JsonObject _values = [];

    public JsonElement? Json => _values.Count == 0 ? null : JsonSerializer.SerializeToElement(_values, ParametersJson.Default.JsonObject);

    /// <summary>Adds an option that the command declares; nothing where the person did not give it.</summary>
    public Parameters Add(string name, JsonNode? value)
    {
        if (value is not null)
        {
            _values[name] = value;
        }

        return this;
    }

    /// <summary>Adds <c>name=value</c> pairs; the server checks ranges, this only the name and the type.</summary>
    public Parameters Add(IEnumerable<string> pairs)
    {
        foreach (var pair in pairs)
        {
            var split = pair.IndexOf('=', StringComparison.Ordinal);
            if (split <= 0)
            {
                throw new UsageException($"-p {pair} is not name=value.");
            }

            var name = pair[..split];
            var contract = model.Parameters.FirstOrDefault(p => p.Name == name)
                ?? throw new UsageException(model.Parameters.Count == 0
                    ? $"{model.Name} takes no parameters."
                    : $"{model.Name} has no parameter {name}. It takes: {string.Join(", ", model.Parameters.Select(p => p.Name))}.");
            _values[name] = Convert(contract, pair[(split + 1)..]);
        }

        return this;
    }

    private static JsonNode Convert(ModelParameter contract, string text) => contract.Type switch
    {
        "integer" when long.TryParse(text, CultureInfo.InvariantCulture, out var whole) => whole,
        "number" when double.TryParse(text, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) => number,
        "boolean" when bool.TryParse(text, out var flag) => flag,
        "integer" or "number" or "boolean" => throw new UsageException($"{contract.Name} is {(contract.Type == "integer" ? "an" : "a")} {contract.Type}, not '{text}'."),
        _ => text,
    };
}
