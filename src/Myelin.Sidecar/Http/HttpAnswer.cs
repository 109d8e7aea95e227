using System.Buffers;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Myelin.Sidecar.Http;

/// <summary>Small answers: JSON, an error in the protocol's form, or a status alone.</summary>
internal static class HttpAnswer
{
    public static async Task JsonAsync(HttpContext context, int status, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer))
        {
            write(json);
        }

        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = buffer.WrittenCount;
        await context.Response.BodyWriter.WriteAsync(buffer.WrittenMemory, context.RequestAborted).ConfigureAwait(false);
    }

    /// <summary><c>{"error": "…"}</c>.</summary>
    /// <param name="code">A stable name beside it, for those who know us; null for none.</param>
    public static Task ErrorAsync(HttpContext context, int status, string message, string? code = null) => JsonAsync(context, status, json =>
    {
        json.WriteStartObject();
        json.WriteString("error", message);
        if (code is not null)
        {
            json.WriteString("code", code);
        }

        json.WriteEndObject();
    });

    public static Task StatusAsync(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        context.Response.ContentLength = 0;
        return Task.CompletedTask;
    }
}
