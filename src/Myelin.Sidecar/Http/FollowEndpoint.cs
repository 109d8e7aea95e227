using System.Buffers;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Myelin.Sidecar.Http;

/// <summary>The progress of a call as server-sent events, until the call has ended. It may be asked for before the call begins.</summary>
internal sealed class FollowEndpoint(CallFollowers followers, TimeSpan wait, TimeProvider time)
{
    public async Task RunAsync(HttpContext context, string id, CancellationToken end)
    {
        if (!followers.TryFollow(id, out var call))
        {
            await HttpAnswer.ErrorAsync(context, StatusCodes.Status400BadRequest, $"call '{id}' is followed already, or too many are").ConfigureAwait(false);
            return;
        }

        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        using var patience = new CancellationTokenSource(wait, time);
        using var gaveUp = patience.Token.UnsafeRegister(_ => followers.GiveUp(id, call), null);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, end);
        try
        {
            await context.Response.BodyWriter.FlushAsync(ended.Token).ConfigureAwait(false); // the caller may begin now
            await foreach (var report in call.Reports.ReadAllAsync(ended.Token).ConfigureAwait(false))
            {
                Write(context.Response.BodyWriter, report);
                await context.Response.BodyWriter.FlushAsync(ended.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            followers.GiveUp(id, call); // nobody listens any more; a call that runs goes on
        }
    }

    private static void Write(IBufferWriter<byte> body, Myelin.Inference.Runtimes.RuntimeProgress report)
    {
        body.Write("event: progress\ndata: "u8);
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteNumber("step", report.Step);
            json.WriteNumber("steps", report.Steps);
            if (report.Preview.IsEmpty)
            {
                json.WriteNull("preview");
            }
            else
            {
                json.WriteBase64String("preview", report.Preview.Span);
            }

            json.WriteEndObject();
        }

        body.Write("\n\n"u8);
    }
}
