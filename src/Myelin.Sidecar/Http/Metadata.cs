using System.Text.Json;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Sidecar.Http;

/// <summary>What the sidecar says of itself and of its models, in the protocol's JSON.</summary>
internal static class Metadata
{
    private static readonly string[] s_extensions =
        ["binary_tensor_data", "model_repository", "statistics", OipExtensions.Progress, OipExtensions.Cancel, OipExtensions.Http2];

    public static void Server(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("name", "myelin-sidecar");
        json.WriteString("version", typeof(Metadata).Assembly.GetName().Version!.ToString(3));
        json.WriteStartArray("extensions");
        foreach (var extension in s_extensions)
        {
            json.WriteStringValue(extension);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void Model(Utf8JsonWriter json, SidecarModel model)
    {
        json.WriteStartObject();
        json.WriteString("name", model.Name);
        json.WriteStartArray("versions");
        json.WriteStringValue(model.Version);
        json.WriteEndArray();
        json.WriteString("platform", "myelin_sidecar");
        OipTensor.WriteSpecs(json, "inputs", model.Inputs);
        OipTensor.WriteSpecs(json, "outputs", model.Outputs);
        json.WriteStartObject("parameters");
        json.WriteNumber(OipExtensions.Concurrency, model.Concurrency);
        json.WriteBoolean(OipExtensions.Progress, model.Progress);
        if (model.TaskName is { } task)
        {
            json.WriteString(OipExtensions.Task, task);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    public static void Index(Utf8JsonWriter json, IEnumerable<ServedModel> models)
    {
        json.WriteStartArray();
        foreach (var served in models)
        {
            json.WriteStartObject();
            json.WriteString("name", served.Model.Name);
            json.WriteString("version", served.Model.Version);
            json.WriteString("state", "READY");
            json.WriteString("reason", "");
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>Triton's form; what is not measured here is 0.</summary>
    public static void Statistics(Utf8JsonWriter json, IEnumerable<ServedModel> models)
    {
        json.WriteStartObject();
        json.WriteStartArray("model_stats");
        foreach (var served in models)
        {
            var counted = served.Statistics;
            json.WriteStartObject();
            json.WriteString("name", served.Model.Name);
            json.WriteString("version", served.Model.Version);
            json.WriteNumber("last_inference", 0);
            json.WriteNumber("inference_count", counted.Calls);
            json.WriteNumber("execution_count", counted.Calls);
            json.WriteStartObject("inference_stats");
            WriteDuration(json, "success", counted.Calls, counted.Compute);
            WriteDuration(json, "fail", counted.Failures, TimeSpan.Zero);
            WriteDuration(json, "cancel", counted.Cancelled, TimeSpan.Zero);
            WriteDuration(json, "queue", counted.Calls, TimeSpan.Zero);
            WriteDuration(json, "compute_input", counted.Calls, TimeSpan.Zero);
            WriteDuration(json, "compute_infer", counted.Calls, counted.Compute);
            WriteDuration(json, "compute_output", counted.Calls, TimeSpan.Zero);
            json.WriteEndObject();
            json.WriteStartArray("batch_stats");
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteDuration(Utf8JsonWriter json, string name, long count, TimeSpan time)
    {
        json.WriteStartObject(name);
        json.WriteNumber("count", count);
        json.WriteNumber("ns", time.Ticks * TimeSpan.NanosecondsPerTick);
        json.WriteEndObject();
    }
}
