using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;
using Myelin.Inference.Imaging;
using Myelin.Jobs;
using Myelin.Serving.Models;

namespace Myelin.Server.Images;

/// <summary>OpenAI's image generation on ordinary jobs (openai-openapi, <c>/images/generations</c>).</summary>
internal static class OpenAiEndpoints
{
    public static void MapOpenAiImages(this IEndpointRouteBuilder routes) =>
        routes.MapPost("/v1/images/generations", GenerateAsync)
            .WithTags("Images")
            .WithName("openAiGenerate")
            .WithSummary("OpenAI-compatible: words in, pictures out; with stream, pictures on the way too")
            .RequireScope(Scopes.Infer);

    private static async Task<IResult> GenerateAsync(HttpContext context, ImageJobs images, ImageBody body, JobService jobs, ModelLoader loader, TimeProvider time, IHostApplicationLifetime lifetime)
    {
        (string Field, string Message)? wrong = null;
        var (request, unreadable) = await body.ReadAsync(context, json => OpenAiRequest.Read(json, out wrong));
        if (request is null)
        {
            return new OpenAiError(unreadable ?? new ProblemResult(Problems.Field(ProblemTypes.InvalidInput, wrong!.Value.Field, wrong.Value.Message)));
        }

        if (images.Choose(request.Model) is not { } model)
        {
            return new OpenAiError(new ProblemResult(
                Problems.Field(ProblemTypes.UnknownModel, "model", $"'{request.Model}' generates no pictures here; there are: {string.Join(", ", images.Models.Select(m => m.Name))}")));
        }

        var (job, problem) = await images.SubmitAsync(context, model, request.Parameters, [], own: null);
        if (problem is not null)
        {
            return new OpenAiError(problem);
        }

        if (request.Stream)
        {
            await StreamAsync(context, request, job!, images, jobs, loader, time, lifetime);
            return Results.Empty;
        }

        if (await images.WaitAsync(job!, context.RequestAborted) is not { } ended)
        {
            return new OpenAiError(ImageJobs.Stopping(job!.Id));
        }

        if (Failure(ended) is { } failure)
        {
            return new OpenAiError(failure);
        }

        await WriteAsync(context, request, ended, await images.ImagesAsync(ended, context.RequestAborted), loader, time);
        return Results.Empty;
    }

    /// <summary>Why a job that ended has no pictures; null where it has them.</summary>
    private static ProblemResult? Failure(JobRecord job) => job switch
    {
        { Purged: true } => JobReadEndpoints.Purged(job),
        { State: JobState.Succeeded } => null,
        { Error: { } error } => new ProblemResult(error),
        _ => new ProblemResult(ProblemTypes.NoResult, $"job {job.Id} was {job.State.ToString().ToLowerInvariant()}"),
    };

    private static async Task WriteAsync(
        HttpContext context, OpenAiRequest request, JobRecord job, IReadOnlyList<GeneratedImage> pictures, ModelLoader loader, TimeProvider time)
    {
        context.Response.ContentType = JsonReply.ContentType;
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        json.WriteNumber("created", time.GetUtcNow().ToUnixTimeSeconds());
        json.WriteString("background", "opaque");
        json.WriteString("output_format", request.FormatName);
        json.WriteString("size", request.Size);
        json.WriteString("quality", "auto");
        if (ImageJobs.Notice(job) is { } notice)
        {
            json.WriteString("notice", notice);
        }

        json.WriteStartArray("data");
        foreach (var picture in pictures)
        {
            json.WriteStartObject();
            if (request.AsUrl)
            {
                json.WriteString("url", $"{context.Request.Scheme}://{context.Request.Host}/v1/jobs/{job.Id}/artifacts/{picture.Artifact}");
            }
            else
            {
                json.WriteBase64String("b64_json", Encode(picture.Png, request, loader).Span);
            }

            json.WriteEndObject();
            await json.FlushAsync(context.RequestAborted);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        await json.FlushAsync(context.RequestAborted);
    }

    /// <summary>Server-sent events: up to <c>partial_images</c> previews at even distances, then each finished picture.</summary>
    private static async Task StreamAsync(
        HttpContext context, OpenAiRequest request, JobRecord job, ImageJobs images, JobService jobs, ModelLoader loader, TimeProvider time, IHostApplicationLifetime lifetime)
    {
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        await context.Response.StartAsync(context.RequestAborted);
        var sent = 0;
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, lifetime.ApplicationStopping);
            await foreach (var update in jobs.EventsAsync(job.Id, lastEventId: null, either.Token))
            {
                var due = update.Job.Progress is { } progress && sent < request.PartialImages && progress.Fraction >= (sent + 1d) / (request.PartialImages + 1);
                if (due && !update.Job.State.IsEnd() && jobs.FindPreview(job.Id) is { } preview)
                {
                    var partial = Event(request, time, Encode(preview, request, loader));
                    partial["partial_image_index"] = sent++;
                    await SendAsync(context, "image_generation.partial_image", partial);
                }
            }

            if (await images.WaitAsync(job, context.RequestAborted) is not { } ended)
            {
                await SendAsync(context, "error", OpenAiError.Body(ImageJobs.Stopping(job.Id).Problem));
                return;
            }

            if (Failure(ended) is { } failure)
            {
                await SendAsync(context, "error", OpenAiError.Body(failure.Problem));
                return;
            }

            foreach (var picture in await images.ImagesAsync(ended, context.RequestAborted))
            {
                var completed = Event(request, time, Encode(picture.Png, request, loader));

                // Nothing is metered in tokens here; the clients' types ask for the numbers.
                completed["usage"] = new JsonObject { ["total_tokens"] = 0, ["input_tokens"] = 0, ["output_tokens"] = 0 };
                await SendAsync(context, "image_generation.completed", completed);
            }
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            await SendAsync(context, "error", OpenAiError.Body(ImageJobs.Stopping(job.Id).Problem));
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            await jobs.LeaveAsync(job);
        }
    }

    private static JsonObject Event(OpenAiRequest request, TimeProvider time, ReadOnlyMemory<byte> picture) => new()
    {
        ["b64_json"] = Convert.ToBase64String(picture.Span),
        ["created_at"] = time.GetUtcNow().ToUnixTimeSeconds(),
        ["size"] = request.Size,
        ["quality"] = "auto",
        ["background"] = "opaque",
        ["output_format"] = request.FormatName,
    };

    private static async Task SendAsync(HttpContext context, string type, JsonObject data)
    {
        if (type != "error")
        {
            data["type"] = type;
        }

        await context.Response.WriteAsync($"event: {type}\ndata: {data.ToJsonString()}\n\n", Encoding.UTF8, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    /// <summary>The PNG itself where PNG is wanted, so that its parameters stay in it; otherwise decoded and encoded again.</summary>
    private static ReadOnlyMemory<byte> Encode(ReadOnlyMemory<byte> bytes, OpenAiRequest request, ModelLoader loader)
    {
        if (PictureFormats.Sniff(bytes.Span) == request.Format)
        {
            return bytes;
        }

        using var picture = Picture.Decode(bytes, loader.Limits);
        return PictureEncoder.Encode(picture.Pixels, picture.Width, picture.Height, request.Format, request.Quality);
    }
}
