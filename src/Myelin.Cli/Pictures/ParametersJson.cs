using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Myelin.Cli.Pictures;

[JsonSerializable(typeof(JsonObject))]
internal sealed partial class ParametersJson : JsonSerializerContext;
