using System.Buffers;
using System.Text.Json;

namespace Myelin.Server.Inference;

/// <summary>Small answers in the form of the Open Inference Protocol.</summary>
internal static class OipReplies
{
    /// <summary>A header of an error: nothing was done, the call may go to another worker.</summary>
    public const string Refused = "X-Myelin-Refused";

    /// <summary><c>{"error": "…"}</c>.</summary>
    public static Task ErrorAsync(HttpContext context, int status, string message) => JsonAsync(context, status, json => json.WriteString("error", message));

    /// <param name="write">Writes the members of the object.</param>
    public static async Task JsonAsync(HttpContext context, int status, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        await using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = buffer.WrittenCount;
        await context.Response.BodyWriter.WriteAsync(buffer.WrittenMemory, context.RequestAborted);
    }
}
