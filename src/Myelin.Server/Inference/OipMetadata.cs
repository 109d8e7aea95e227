using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;

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
        OipTensor.WriteSpecs(json, "inputs", network.Inputs);
        OipTensor.WriteSpecs(json, "outputs", network.Outputs);
    }
}
