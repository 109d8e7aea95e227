using System.Text.Json;
using System.Text.Json.Serialization;

namespace Myelin.Protocol;

/// <summary>Source-generated JSON of every wire record: camelCase, nulls left out, depth bounded.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.Web,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    MaxDepth = Limits.JsonDepth)]
[JsonSerializable(typeof(JobRequest))]
[JsonSerializable(typeof(Job))]
[JsonSerializable(typeof(Page<Job>))]
[JsonSerializable(typeof(JobEvent))]
[JsonSerializable(typeof(JobCallback))]
[JsonSerializable(typeof(IReadOnlyList<JobArtifact>))]
[JsonSerializable(typeof(Problem))]
[JsonSerializable(typeof(Model))]
[JsonSerializable(typeof(Page<Model>))]
[JsonSerializable(typeof(IReadOnlyList<Model>))]
[JsonSerializable(typeof(WorkerInfo))]
[JsonSerializable(typeof(Page<WorkerInfo>))]
[JsonSerializable(typeof(CatalogueEntry))]
[JsonSerializable(typeof(Page<CatalogueEntry>))]
[JsonSerializable(typeof(Health))]
[JsonSerializable(typeof(JsonElement))]
[JsonSerializable(typeof(System.Text.Json.Nodes.JsonObject))]
public sealed partial class JsonContext : JsonSerializerContext;
