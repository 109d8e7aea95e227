using System.Buffers;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http.Metadata;

namespace Myelin.Hosting.Web;

/// <summary>
/// Writes a wire record in one piece: source-generated JSON into a buffer of the thread, then one write with its
/// length known, so that a small answer is one packet and no chunk headers.
/// </summary>
internal static class JsonReply
{
    public const string ContentType = "application/json; charset=utf-8";

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? s_buffer;

    [ThreadStatic]
    private static Utf8JsonWriter? s_writer;

    public static Task WriteAsync<T>(HttpResponse response, T value, int status, string contentType, CancellationToken cancellationToken)
    {
        var buffer = Serialize(value);
        response.StatusCode = status;
        response.ContentType = contentType;
        response.ContentLength = buffer.WrittenCount;

        // Copies into the pipe before it returns, so the thread's buffer is free again whatever the flush does.
        response.BodyWriter.Write(buffer.WrittenSpan);
        var flush = response.BodyWriter.FlushAsync(cancellationToken);
        return flush.IsCompletedSuccessfully ? Task.CompletedTask : flush.AsTask();
    }

    /// <summary>The JSON in the thread's buffer: use it before anything else is serialised on this thread.</summary>
    public static ArrayBufferWriter<byte> Serialize<T>(T value)
    {
        var buffer = s_buffer;
        if (buffer is null || buffer.Capacity > 1 << 20)
        {
            s_buffer = buffer = new ArrayBufferWriter<byte>(4096);
            s_writer = null;
        }

        buffer.ResetWrittenCount();
        var writer = s_writer ??= new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true });
        writer.Reset(buffer);
        JsonSerializer.Serialize(writer, value, Wire<T>.Info);
        writer.Flush();
        return buffer;
    }

    private static class Wire<T>
    {
        public static readonly JsonTypeInfo<T> Info = (JsonTypeInfo<T>?)JsonContext.Default.GetTypeInfo(typeof(T))
            ?? throw new InvalidOperationException($"{typeof(T)} is not in JsonContext");
    }
}

/// <summary>200 with a wire record.</summary>
internal sealed class Reply<T>(T value) : IResult, IEndpointMetadataProvider
{
    public Task ExecuteAsync(HttpContext httpContext) =>
        JsonReply.WriteAsync(httpContext.Response, value, StatusCodes.Status200OK, JsonReply.ContentType, httpContext.RequestAborted);

    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(T), ["application/json"]));
}

/// <summary>202 with a wire record and where to look for it.</summary>
internal sealed class AcceptedReply<T>(T value, string location) : IResult, IEndpointMetadataProvider
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.Headers.Location = location;
        return JsonReply.WriteAsync(httpContext.Response, value, StatusCodes.Status202Accepted, JsonReply.ContentType, httpContext.RequestAborted);
    }

    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) =>
        builder.Metadata.Add(new ProducesResponseTypeMetadata(StatusCodes.Status202Accepted, typeof(T), ["application/json"]));
}
