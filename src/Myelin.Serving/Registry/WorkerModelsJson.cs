using System.Text.Json;

namespace Myelin.Serving.Registry;

/// <summary>The models of a row as they are stored: a JSON array of what <c>/v1/models</c> shows.</summary>
internal static class WorkerModelsJson
{
    public static byte[] Write(IReadOnlyList<Model> models) => JsonSerializer.SerializeToUtf8Bytes(models, JsonContext.Default.IReadOnlyListModel);

    public static IReadOnlyList<Model> Read(ReadOnlySpan<byte> json) => JsonSerializer.Deserialize(json, JsonContext.Default.IReadOnlyListModel) ?? [];
}
