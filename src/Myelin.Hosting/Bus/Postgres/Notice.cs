using System.Text.Json;
using System.Text.Json.Serialization;

namespace Myelin.Hosting.Bus.Postgres;

/// <summary>A message as it travels in a notification, behind the name of its sender.</summary>
internal sealed record Notice(string Topic, ReadOnlyMemory<byte> Payload, string? Key = null, IReadOnlyDictionary<string, string>? Headers = null);

/// <summary>Strict: whoever may connect to the database may have written it.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(Notice))]
internal sealed partial class NoticesJson : JsonSerializerContext;
