using System.Globalization;
using System.Text.Json;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Pictures;

/// <summary>A result as a person reads it: a table of what was found, text as text, the rest as JSON.</summary>
internal static class Findings
{
    /// <param name="file">Named in front where there are several.</param>
    public static void Print(Output output, string? file, Job job)
    {
        if (job.Result is not { ValueKind: JsonValueKind.Object } result)
        {
            return;
        }

        if (List(result, "detections") is { } detections)
        {
            Title(output, file, detections.Count == 1 ? "1 finding" : $"{detections.Count} findings");
            output.Table(Columns(file, "label", "#score", "#x", "#y", "#width", "#height"), detections.Select(d =>
                Row(file, [Label(d), Score(d), .. Box(d)])));
        }
        else if (List(result, "classes") is { } classes)
        {
            Title(output, file, null);
            output.Table(Columns(file, "label", "#score"), classes.Select(c => Row(file, [Label(c), Score(c)])));
        }
        else if (List(result, "regions") is { } regions)
        {
            Title(output, file, null);
            foreach (var region in regions)
            {
                output.Line((file is null || output.IsPerson ? "" : Readable.Plain(file) + "\t") + Readable.Plain(region.GetProperty("text").GetString() ?? ""));
            }
        }
        else
        {
            Title(output, file, null);
            output.Write(result, JsonContext.Default.JsonElement);
        }
    }

    private static List<JsonElement>? List(JsonElement result, string name) =>
        result.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array ? [.. list.EnumerateArray()] : null;

    private static void Title(Output output, string? file, string? summary)
    {
        if (output.IsPerson && (file ?? summary) is not null)
        {
            output.Line(string.Join(": ", new[] { file, summary }.Where(s => s is not null).Select(s => Readable.Plain(s!))));
        }
    }

    // A pipe gets the file in each line, a person gets it once, above the table.
    private static string[] Columns(string? file, params string[] columns) => file is null ? columns : ["file", .. columns];

    private static string[] Row(string? file, string[] cells) => file is null ? cells : [file, .. cells];

    private static string Label(JsonElement e) =>
        e.TryGetProperty("label", out var label) && label.GetString() is { Length: > 0 } name ? name : "?";

    private static string Score(JsonElement e) =>
        e.TryGetProperty("score", out var score) ? (score.GetDouble() * 100).ToString("0.0'%'", CultureInfo.InvariantCulture) : "";

    private static IEnumerable<string> Box(JsonElement e) =>
        e.TryGetProperty("box", out var box) ? box.EnumerateArray().Select(n => n.GetDouble().ToString("0", CultureInfo.InvariantCulture)) : [];
}
