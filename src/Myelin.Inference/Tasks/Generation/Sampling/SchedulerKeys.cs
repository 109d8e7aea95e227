using System.Text.Json;
using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Typed reads of a scheduler's keys; a wrong value becomes an error and reads as the fallback.</summary>
internal sealed class SchedulerKeys(JsonElement root, string file, List<ModelError> errors)
{
    public void Fail(string key, string message) => errors.Add(new ModelError(file, key, message));

    public void Refuse(string key, string message)
    {
        if (Flag(key, false))
        {
            Fail(key, message);
        }
    }

    public string Text(string key, string fallback)
    {
        var value = Get(key);
        return value is null ? fallback
            : value.Value.ValueKind == JsonValueKind.String ? value.Value.GetString()!
            : Wrong(key, "must be a string", fallback);
    }

    public string Choice(string key, string fallback, string[] choices)
    {
        var value = Text(key, fallback);
        return choices.Contains(value) ? value : Wrong(key, $"is '{value}'; known: {string.Join(", ", choices)}", fallback);
    }

    public bool Flag(string key, bool fallback)
    {
        var value = Get(key);
        return value is null ? fallback
            : value.Value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.Value.GetBoolean()
            : Wrong(key, "must be true or false", fallback);
    }

    public int Integer(string key, int fallback, int least, int most)
    {
        var value = Get(key);
        return value is null ? fallback
            : value.Value.ValueKind == JsonValueKind.Number && value.Value.TryGetInt32(out var number) && number >= least && number <= most ? number
            : Wrong(key, $"must be a whole number from {least} to {most}", fallback);
    }

    public double Number(string key, double fallback) => Optional(key) ?? fallback;

    public double? Optional(string key)
    {
        var value = Get(key);
        return value is null ? null
            : value.Value.ValueKind == JsonValueKind.Number && value.Value.TryGetDouble(out var number) && double.IsFinite(number) ? number
            : Wrong<double?>(key, "must be a finite number", null);
    }

    public IReadOnlyList<double>? Numbers(string key)
    {
        var value = Get(key);
        if (value is null)
        {
            return null;
        }

        return value.Value.ValueKind == JsonValueKind.Array && value.Value.EnumerateArray().All(v => v.ValueKind == JsonValueKind.Number)
            ? [.. value.Value.EnumerateArray().Select(v => v.GetDouble())]
            : Wrong<IReadOnlyList<double>?>(key, "must be a list of numbers", null);
    }

    public Prediction Prediction() => Choice("prediction_type", "epsilon", ["epsilon", "v_prediction", "sample", "flow_prediction"]) switch
    {
        "v_prediction" => Sampling.Prediction.Velocity,
        "sample" => Sampling.Prediction.Sample,
        _ => Sampling.Prediction.Epsilon,
    };

    public Spacing Spacing(Spacing fallback) => Choice("timestep_spacing", fallback.ToString().ToLowerInvariant(), ["leading", "trailing", "linspace"]) switch
    {
        "leading" => Sampling.Spacing.Leading,
        "trailing" => Sampling.Spacing.Trailing,
        _ => Sampling.Spacing.Linspace,
    };

    public DynamicShift DynamicShift() => new(
        Number("base_shift", 0.5), Number("max_shift", 1.15), Number("base_image_seq_len", 256), Number("max_image_seq_len", 4096),
        Choice("time_shift_type", "exponential", ["exponential", "linear"]) == "exponential");

    private JsonElement? Get(string key) =>
        root.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private T Wrong<T>(string key, string message, T fallback)
    {
        Fail(key, message);
        return fallback;
    }
}
