using System.Text.Json.Nodes;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>One of tests/vectors/sidecar; its README says what the keys mean.</summary>
public sealed class SidecarVector
{
    private static readonly string s_folder = Path.Combine(Shared.Root, "tests", "vectors", "sidecar");
    private static readonly JsonObject s_file = JsonNode.Parse(File.ReadAllText(Path.Combine(s_folder, "vectors.json")))!.AsObject();
    private static readonly Dictionary<string, SidecarVector> s_all = s_file["vectors"]!.AsArray().Select(node => new SidecarVector(node!.AsObject())).ToDictionary(vector => vector.Name);

    private readonly JsonObject _json;

    private SidecarVector(JsonObject json) => _json = json;

    public string Name => (string)_json["name"]!;

    public bool FromWorker => (string)_json["direction"]! == "worker-to-sidecar";

    public string Phase => (string)_json["phase"]!;

    public JsonArray Frames => _json["frames"]!.AsArray();

    public JsonArray? Messages => _json["messages"]?.AsArray();

    /// <summary>Null where the stream is sound.</summary>
    public string? Error => (string?)_json["error"]?["code"];

    public ulong ErrorCall => (ulong)_json["error"]!["call"]!;

    public byte[] Bytes => _json["hex"] is { } hex ? Convert.FromHexString((string)hex!) : File.ReadAllBytes(Path.Combine(s_folder, (string)_json["file"]!));

    public ulong[] Calls(string key) => [.. (_json[key]?.AsArray() ?? []).Select(call => (ulong)call!)];

    /// <summary>A value that both sides have agreed on; the vector's own where it has one.</summary>
    public JsonNode? Context(string key) => _json["context"] is JsonObject own && own.ContainsKey(key) ? own[key] : s_file["context"]![key];

    public static IReadOnlyCollection<SidecarVector> Every => s_all.Values;

    public static SidecarVector Get(string name) => s_all[name];

    public static TheoryData<string> FromWorkers() => new(s_all.Values.Where(vector => vector.FromWorker).Select(vector => vector.Name));

    public static TheoryData<string> FromSidecars() => new(s_all.Values.Where(vector => !vector.FromWorker).Select(vector => vector.Name));

    public static TheoryData<string> All() => new(s_all.Keys);

    public override string ToString() => Name;
}
