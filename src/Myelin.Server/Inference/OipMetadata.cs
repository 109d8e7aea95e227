using System.Text.Json;
using Myelin.Inference.Runtimes;

namespace Myelin.Server.Inference;

/// <summary>What the server and a network say of themselves, in the protocol's words.</summary>
internal static class OipMetadata
{
    public static void Server(Utf8JsonWriter json)
    {
        json.WriteString("name", "myelin");
        json.WriteString("version", typeof(OipMetadata).Assembly.GetName().Version!.ToString(3));
        json.WriteStartArray("extensions");
        json.WriteStringValue("binary_tensor_data");
        json.WriteEndArray();
    }

    public static void Model(Utf8JsonWriter json, string name, string revision, IRuntime network)
    {
        json.WriteString("name", name);
        json.WriteStartArray("versions");
        json.WriteStringValue(revision);
        json.WriteEndArray();
        json.WriteString("platform", "myelin");
        Specs(json, "inputs", network.Inputs);
        Specs(json, "outputs", network.Outputs);
    }

    private static void Specs(Utf8JsonWriter json, string key, IReadOnlyList<TensorSpec> specs)
    {
        json.WriteStartArray(key);
        foreach (var spec in specs)
        {
            json.WriteStartObject();
            json.WriteString("name", spec.Name);
            json.WriteString("datatype", spec.Type.WireName());
            json.WriteStartArray("shape");
            foreach (var length in spec.Shape)
            {
                json.WriteNumberValue(length);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
