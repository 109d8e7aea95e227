using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Jobs;

namespace Myelin.Server.Images;

/// <summary>
/// <c>txt2img</c> and <c>img2img</c> of the AUTOMATIC1111 API as a job's parameters. Unknown fields are accepted, as
/// there; only what was said is passed on, so that the model's own defaults hold for the rest.
/// </summary>
internal sealed record A1111Request
{
    public required JsonObject Parameters { get; init; }

    public string? Model { get; init; }

    /// <summary>The caller's own name for the task; a repeat gives the same job.</summary>
    public string? TaskId { get; init; }

    public bool SendImages { get; init; } = true;

    public IReadOnlyList<SubmissionPart> Pictures { get; init; } = [];

    /// <summary>Reads the body; <paramref name="wrong"/> names the first wrong field and the cure.</summary>
    /// <param name="images">Checks the pictures of <c>img2img</c>; null for <c>txt2img</c>.</param>
    public static A1111Request? Read(JsonElement body, ImageJobs? images, out (string Field, string Message)? wrong)
    {
        wrong = null;
        if (body.ValueKind != JsonValueKind.Object)
        {
            wrong = ("body", "must be a JSON object");
            return null;
        }

        var parameters = new JsonObject { ["prompt"] = Text(body, "prompt") ?? "" };
        Copy(body, "negative_prompt", parameters, "negativePrompt");
        Copy(body, "steps", parameters, "steps");
        Copy(body, "cfg_scale", parameters, "guidance");
        Copy(body, "width", parameters, "width");
        Copy(body, "height", parameters, "height");
        if (Number(body, "seed") is >= 0 and var seed)
        {
            parameters["seed"] = (long)seed;
        }

        parameters["count"] = (int)Math.Clamp((Number(body, "batch_size") ?? 1) * (Number(body, "n_iter") ?? 1), 1, 1000);
        var sampler = Text(body, "sampler_name") ?? Text(body, "sampler_index");
        if (sampler is { Length: > 0 } && !string.Equals(sampler, "Automatic", StringComparison.OrdinalIgnoreCase))
        {
            if (A1111Samplers.Find(sampler, Text(body, "scheduler")) is not { } name)
            {
                wrong = ("sampler_name", $"'{sampler}' is not known; GET /sdapi/v1/samplers lists what is");
                return null;
            }

            parameters["sampler"] = name;
        }

        var pictures = new List<SubmissionPart>();
        if (images is not null && !ReadImages(body, images, parameters, pictures, out wrong))
        {
            return null;
        }

        return new A1111Request
        {
            Parameters = parameters,
            Model = body.TryGetProperty("override_settings", out var settings) && settings.ValueKind == JsonValueKind.Object ? Text(settings, "sd_model_checkpoint") : null,
            TaskId = Text(body, "force_task_id") is { Length: > 0 } task ? task : null,
            SendImages = !body.TryGetProperty("send_images", out var send) || send.ValueKind != JsonValueKind.False,
            Pictures = pictures,
        };
    }

    private static bool ReadImages(JsonElement body, ImageJobs images, JsonObject parameters, List<SubmissionPart> pictures, out (string Field, string Message)? wrong)
    {
        parameters["strength"] = Number(body, "denoising_strength") ?? 0.75;
        var first = body.TryGetProperty("init_images", out var list) && list.ValueKind == JsonValueKind.Array && list.GetArrayLength() > 0 ? list[0] : default;
        wrong = Add("image", first) is { } image ? ("init_images", image) : null;
        if (wrong is null && body.TryGetProperty("mask", out var mask) && mask.ValueKind == JsonValueKind.String)
        {
            wrong = Add("mask", mask) is { } unusable ? ("mask", unusable) : null;
        }

        return wrong is null;

        string? Add(string part, JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.String)
            {
                return "must hold one picture as base64";
            }

            if (images.Picture(part, value.GetString()!, out var message) is { } picture)
            {
                pictures.Add(picture);
            }

            return message;
        }
    }

    private static void Copy(JsonElement body, string theirs, JsonObject parameters, string ours)
    {
        if (body.TryGetProperty(theirs, out var value) && value.ValueKind is JsonValueKind.Number or JsonValueKind.String)
        {
            parameters[ours] = JsonNode.Parse(value.GetRawText());
        }
    }

    private static string? Text(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static double? Number(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && double.IsFinite(value.GetDouble()) ? value.GetDouble() : null;
}
