using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Inference.Imaging;

namespace Myelin.Server.Images;

/// <summary>
/// <c>POST /v1/images/generations</c> as OpenAI's clients send it. Unknown fields are accepted; our own parameters
/// (<c>steps, guidance, seed, sampler, negative_prompt</c>) may stand beside them.
/// </summary>
internal sealed record OpenAiRequest
{
    private static readonly (string Theirs, string Ours)[] s_numbers = [("steps", "steps"), ("guidance", "guidance"), ("seed", "seed"), ("strength", "strength")];
    private static readonly (string Theirs, string Ours)[] s_texts = [("sampler", "sampler"), ("negative_prompt", "negativePrompt")];

    public required JsonObject Parameters { get; init; }

    public string? Model { get; init; }

    public bool AsUrl { get; init; }

    public PictureFormat Format { get; init; }

    /// <summary>The format's wire name.</summary>
    public string FormatName { get; init; } = "png";

    /// <summary>1..100.</summary>
    public int Quality { get; init; } = 90;

    public bool Stream { get; init; }

    /// <summary>0..3 pictures on the way.</summary>
    public int PartialImages { get; init; }

    public string Size { get; init; } = "auto";

    /// <summary>Reads the body; <paramref name="wrong"/> names the first wrong field and the cure.</summary>
    public static OpenAiRequest? Read(JsonElement body, out (string Field, string Message)? wrong)
    {
        wrong = null;
        if (body.ValueKind != JsonValueKind.Object || Text(body, "prompt") is not { Length: > 0 } prompt)
        {
            wrong = ("prompt", "is required: what the picture shows");
            return null;
        }

        var parameters = new JsonObject { ["prompt"] = prompt };
        var format = Text(body, "output_format") ?? "png";
        var size = Text(body, "size") ?? "auto";
        var response = Text(body, "response_format") ?? "b64_json";
        var count = Number(body, "n") ?? 1;
        wrong = (format, response, count) switch
        {
            (not ("png" or "jpeg" or "webp"), _, _) => ("output_format", "must be png, jpeg or webp"),
            (_, not ("url" or "b64_json"), _) => ("response_format", "must be url or b64_json"),
            (_, _, < 1 or > 10) => ("n", "must be between 1 and 10"),
            _ when !TrySize(size, parameters) => ("size", "must be auto or WIDTHxHEIGHT, such as 512x512"),
            _ => null,
        };
        if (wrong is not null)
        {
            return null;
        }

        parameters["count"] = (int)count;
        foreach (var (theirs, ours) in s_numbers.Concat(s_texts).Where(name => body.TryGetProperty(name.Theirs, out var value) && value.ValueKind is JsonValueKind.Number or JsonValueKind.String))
        {
            parameters[ours] = JsonNode.Parse(body.GetProperty(theirs).GetRawText());
        }

        return new OpenAiRequest
        {
            Parameters = parameters,
            Model = Text(body, "model"),
            AsUrl = response == "url",
            FormatName = format,
            Format = format switch { "jpeg" => PictureFormat.Jpeg, "webp" => PictureFormat.WebP, _ => PictureFormat.Png },
            Quality = (int)Math.Clamp(Number(body, "output_compression") ?? 90, 1, 100),
            Stream = body.TryGetProperty("stream", out var stream) && stream.ValueKind == JsonValueKind.True,
            PartialImages = (int)Math.Clamp(Number(body, "partial_images") ?? 0, 0, 3),
            Size = size,
        };
    }

    private static bool TrySize(string size, JsonObject parameters)
    {
        if (size == "auto")
        {
            return true;
        }

        var sides = size.Split('x');
        if (sides.Length != 2
            || !int.TryParse(sides[0], NumberStyles.None, CultureInfo.InvariantCulture, out var width)
            || !int.TryParse(sides[1], NumberStyles.None, CultureInfo.InvariantCulture, out var height))
        {
            return false;
        }

        (parameters["width"], parameters["height"]) = (width, height);
        return true;
    }

    private static string? Text(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static double? Number(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && double.IsFinite(value.GetDouble()) ? value.GetDouble() : null;
}
