using System.Globalization;
using System.Text.Json;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Sidecars;

namespace Myelin.Inference.Tasks;

/// <summary>One parameter that a caller got wrong.</summary>
/// <param name="Field">Path of the field, such as <c>parameters.threshold</c>.</param>
/// <param name="Message">What is wrong and what would be right.</param>
public sealed record ParameterError(string Field, string Message);

/// <summary>Contracts of models, and the check of a caller's parameters against one. Needs no weights.</summary>
public static class TaskContracts
{
    /// <summary>What the model's task takes, with the model's own defaults.</summary>
    /// <exception cref="ModelException">The definition names a task that nobody here performs.</exception>
    public static TaskContract For(ModelDefinition definition) =>
        definition.Sidecar is not null
            ? SidecarContract.For(definition)
            : (TaskKinds.Find(definition.Task) ?? throw TaskKinds.Unknown(definition)).Contract(definition);

    /// <summary>All that is wrong with <paramref name="parameters"/>; empty when they may be used. Undefined and null mean none.</summary>
    public static IReadOnlyList<ParameterError> Check(TaskContract contract, JsonElement parameters)
    {
        var errors = new List<ParameterError>();
        var given = parameters.ValueKind;
        if (given is not (JsonValueKind.Object or JsonValueKind.Undefined or JsonValueKind.Null))
        {
            errors.Add(new ParameterError("parameters", "must be a JSON object of names and values"));
            return errors;
        }

        if (given == JsonValueKind.Object)
        {
            foreach (var property in parameters.EnumerateObject())
            {
                var spec = contract.Parameters.FirstOrDefault(candidate => candidate.Name == property.Name);
                if (spec is null && contract.Open)
                {
                    continue;
                }

                if (spec is null)
                {
                    errors.Add(Unknown(contract, property.Name));
                }
                else if (Wrong(spec, property.Value) is { } message)
                {
                    errors.Add(new ParameterError("parameters." + spec.Name, message));
                }
            }
        }

        foreach (var spec in contract.Parameters.Where(spec => spec.Required))
        {
            if (given != JsonValueKind.Object || !parameters.TryGetProperty(spec.Name, out _))
            {
                errors.Add(new ParameterError("parameters." + spec.Name, $"is required: {spec.Description}"));
            }
        }

        return errors;
    }

    private static ParameterError Unknown(TaskContract contract, string name)
    {
        var names = contract.Parameters.Select(spec => spec.Name).ToArray();
        var meant = Nearest.To(name, names) is { } nearest ? $" (did you mean '{nearest}'?)" : "";
        var shown = name.Length <= 64 ? name : name[..64] + "…";
        return new ParameterError(
            "parameters." + shown,
            $"is not a parameter of {contract.Task}{meant}; " + (names.Length == 0 ? "there are none" : $"there are: {string.Join(", ", names)}"));
    }

    private static string? Wrong(ModelParameter spec, JsonElement value) => spec.Type switch
    {
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False ? null : "must be true or false",
        "string" => value.ValueKind == JsonValueKind.String ? WrongText(spec, value.GetString()!) : "must be text",
        _ => value.ValueKind == JsonValueKind.Number ? WrongNumber(spec, value.GetDouble()) : $"must be a {(spec.Type == "integer" ? "whole number" : "number")}",
    };

    private static string? WrongText(ModelParameter spec, string text)
    {
        if (spec.Choices is { } choices && !choices.Contains(text))
        {
            return $"must be one of: {string.Join(", ", choices)}";
        }

        return text.Length < spec.Minimum || text.Length > spec.Maximum
            ? $"must have {Range(spec)} characters, and has {text.Length}"
            : null;
    }

    private static string? WrongNumber(ModelParameter spec, double number)
    {
        if (!double.IsFinite(number) || number < spec.Minimum || number > spec.Maximum)
        {
            return $"must be {Range(spec)}";
        }

        if (spec.Type == "integer" && number != Math.Floor(number))
        {
            return "must be a whole number";
        }

        return spec.MultipleOf is { } step && Math.Abs((number / step) - Math.Round(number / step)) > 1e-9
            ? string.Create(CultureInfo.InvariantCulture, $"must be a multiple of {step}")
            : null;
    }

    private static string Range(ModelParameter spec) => (spec.Minimum, spec.Maximum) switch
    {
        ({ } low, { } high) => string.Create(CultureInfo.InvariantCulture, $"from {low} to {high}"),
        ({ } low, null) => string.Create(CultureInfo.InvariantCulture, $"at least {low}"),
        (null, { } high) => string.Create(CultureInfo.InvariantCulture, $"at most {high}"),
        _ => "a finite number",
    };
}
