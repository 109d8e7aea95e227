using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Jobs;

internal static class JobJson
{
    /// <summary>The job as the server gives it, on one line; with the name of the file it came from in front.</summary>
    public static void Write(Output output, Job job, string? file, string? saved)
    {
        if (file is null)
        {
            output.Write(job, JsonContext.Default.Job);
            return;
        }

        var line = new JsonObject { ["file"] = file };
        if (saved is not null)
        {
            line["output"] = saved;
        }

        foreach (var property in JsonSerializer.SerializeToElement(job, JsonContext.Default.Job).EnumerateObject())
        {
            line[property.Name] = JsonNode.Parse(property.Value.GetRawText());
        }

        output.Line(line.ToJsonString());
    }
}
