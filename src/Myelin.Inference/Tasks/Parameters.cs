using System.Text.Json;

namespace Myelin.Inference.Tasks;

/// <summary>Reads a caller's parameters, which the contract has checked; absent means the model's default.</summary>
internal readonly record struct Parameters(JsonElement Json)
{
    public double Number(string name, double otherwise) => Find(name, JsonValueKind.Number, out var value) ? value.GetDouble() : otherwise;

    public int Integer(string name, int otherwise) => Find(name, JsonValueKind.Number, out var value) ? (int)value.GetDouble() : otherwise;

    public bool Flag(string name, bool otherwise) =>
        Json.ValueKind == JsonValueKind.Object && Json.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : otherwise;

    public bool Has(string name) => Json.ValueKind == JsonValueKind.Object && Json.TryGetProperty(name, out _);

    private bool Find(string name, JsonValueKind kind, out JsonElement value)
    {
        value = default;
        return Json.ValueKind == JsonValueKind.Object && Json.TryGetProperty(name, out value) && value.ValueKind == kind;
    }
}
