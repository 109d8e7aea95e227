using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Hosting.Accounts;
using Myelin.Inference.Tasks.Generation;
using Myelin.Jobs;
using Myelin.Jobs.Store;

namespace Myelin.Server.Images;

/// <summary>The AUTOMATIC1111 API on ordinary jobs. <c>progress</c> and <c>interrupt</c> see only the caller's own.</summary>
internal static class A1111Endpoints
{
    public static void MapA1111(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/sdapi/v1").WithTags("AUTOMATIC1111").RequireScope(Scopes.Infer);
        group.MapPost("txt2img", (HttpContext context, ImageJobs images, ImageBody body, A1111Settings settings) => GenerateAsync(context, images, body, settings, withImage: false))
            .WithSummary("Words to pictures");
        group.MapPost("img2img", (HttpContext context, ImageJobs images, ImageBody body, A1111Settings settings) => GenerateAsync(context, images, body, settings, withImage: true))
            .WithSummary("Words and a picture to pictures");
        group.MapGet("progress", ProgressAsync).WithSummary("The caller's running generation");
        group.MapPost("interrupt", InterruptAsync).WithSummary("Cancel the caller's running generations, nobody else's");
        group.MapGet("sd-models", (ImageJobs images) => Json(new JsonArray([.. images.Models.Select(m => (JsonNode)new JsonObject
        {
            ["title"] = m.Name,
            ["model_name"] = m.Name,
            ["hash"] = null,
            ["sha256"] = null,
            ["filename"] = m.Name,
            ["config"] = null,
        })])));
        group.MapGet("samplers", () => Json(new JsonArray([.. Samplers.All.Select(s => (JsonNode)new JsonObject
        {
            ["name"] = s.Title,
            ["aliases"] = new JsonArray(s.Name),
            ["options"] = new JsonObject(),
        })])));
        group.MapGet("options", (HttpContext context, ImageJobs images, A1111Settings settings) => Json(new JsonObject
        {
            ["sd_model_checkpoint"] = settings.Model(context.Caller().Tenant) ?? images.Choose(null)?.Name,
            ["samples_format"] = "png",
        }));
        group.MapPost("options", SetOptionsAsync);
    }

    private static async Task<IResult> GenerateAsync(HttpContext context, ImageJobs images, ImageBody body, A1111Settings settings, bool withImage)
    {
        (string Field, string Message)? wrong = null;
        var (request, unreadable) = await body.ReadAsync(context, json => A1111Request.Read(json, withImage ? images : null, out wrong));
        if (request is null)
        {
            return unreadable is null ? Error(400, $"{wrong!.Value.Field}: {wrong.Value.Message}", "") : Error(400, unreadable.Problem.Detail!, "send application/json");
        }

        var name = request.Model ?? settings.Model(context.Caller().Tenant);
        if (images.Choose(name) is not { } model)
        {
            return Error(404, $"model '{name}' generates no pictures here", $"there are: {string.Join(", ", images.Models.Select(m => m.Name))}");
        }

        var (job, problem) = await images.SubmitAsync(context, model, request.Parameters, request.Pictures, request.TaskId is { } task ? IdempotencyKey.OfTask(task) : null);
        if (problem is not null)
        {
            context.Response.Headers.RetryAfter = problem.RetryAfter is { } delay ? Math.Ceiling(delay.TotalSeconds).ToString(CultureInfo.InvariantCulture) : default;
            return Error(problem.Problem.Status, problem.Problem.Detail ?? "", "");
        }

        context.Response.Headers["X-Myelin-Job"] = job!.Id;
        var ended = await images.WaitAsync(job, context.RequestAborted);
        return ended?.State switch
        {
            null => Error(503, ImageJobs.Stopping(job.Id).Problem.Detail!, ""),
            _ when ended!.Purged => Error(410, $"job {job.Id} of this force_task_id or Idempotency-Key is no longer kept", "send another one"),
            JobState.Succeeded => await AnswerAsync(context, images, ended!, request),
            JobState.Cancelled => Json(new JsonObject { ["images"] = new JsonArray(), ["parameters"] = request.Parameters.DeepClone(), ["info"] = "{\"interrupted\":true}" }),
            _ => Error(ended!.Error?.Status is >= 400 ? ended.Error.Status : 500, ended.Error?.Detail ?? "", ""),
        };
    }

    private static async Task<IResult> AnswerAsync(HttpContext context, ImageJobs images, JobRecord job, A1111Request request)
    {
        var pictures = await images.ImagesAsync(job, context.RequestAborted);
        var chosen = JsonNode.Parse(job.Result!.Value.Span)!["parameters"]!.AsObject();
        var info = new JsonObject
        {
            ["prompt"] = chosen["prompt"]?.DeepClone(),
            ["all_prompts"] = new JsonArray([.. pictures.Select(_ => chosen["prompt"]?.DeepClone())]),
            ["negative_prompt"] = chosen["negativePrompt"]?.DeepClone(),
            ["seed"] = pictures.Count > 0 ? pictures[0].Seed : null,
            ["all_seeds"] = new JsonArray([.. pictures.Select(p => (JsonNode)p.Seed)]),
            ["width"] = (chosen["outputWidth"] ?? chosen["width"])?.DeepClone(),
            ["height"] = (chosen["outputHeight"] ?? chosen["height"])?.DeepClone(),
            ["sampler_name"] = A1111Samplers.Theirs(chosen["sampler"]?.GetValue<string>() ?? ""),
            ["cfg_scale"] = chosen["guidance"]?.DeepClone(),
            ["steps"] = chosen["steps"]?.DeepClone(),
            ["batch_size"] = pictures.Count,
            ["sd_model_name"] = job.Model,
            ["job_timestamp"] = job.CreatedAt.ToString("yyyyMMddHHmmss", CultureInfo.InvariantCulture),
        };
        if (ImageJobs.Notice(job) is { } notice)
        {
            info["notice"] = notice;
        }

        return Json(new JsonObject
        {
            ["images"] = new JsonArray([.. request.SendImages ? pictures.Select(p => (JsonNode)Convert.ToBase64String(p.Png.Span)) : []]),
            ["parameters"] = chosen.DeepClone(),
            ["info"] = info.ToJsonString(),
        });
    }

    private static async Task<IResult> ProgressAsync(HttpContext context, ImageJobs images, JobService jobs, string? skip_current_image)
    {
        var running = await RunningAsync(context, images, jobs);
        var job = running.Count > 0 ? await jobs.GetAsync(running[0].Id, context.RequestAborted) : null;
        var progress = job?.Progress;
        var skip = string.Equals(skip_current_image, "true", StringComparison.OrdinalIgnoreCase);
        return Json(new JsonObject
        {
            ["progress"] = progress?.Fraction ?? 0,
            ["eta_relative"] = progress is { SecondsPerStep: { } seconds } ? (progress.Steps - progress.Step) * seconds : 0,
            ["state"] = new JsonObject
            {
                ["skipped"] = false,
                ["interrupted"] = job?.CancelRequested ?? false,
                ["stopping_generation"] = job?.CancelRequested ?? false,
                ["job"] = job?.Id ?? "",
                ["job_count"] = running.Count,
                ["job_timestamp"] = job?.CreatedAt.ToString("yyyyMMddHHmmss", CultureInfo.InvariantCulture) ?? "0",
                ["job_no"] = 0,
                ["sampling_step"] = progress?.Step ?? 0,
                ["sampling_steps"] = progress?.Steps ?? 0,
            },
            ["current_image"] = !skip && job is not null && jobs.FindPreview(job.Id) is { } preview ? Convert.ToBase64String(preview.Span) : null,
            ["textinfo"] = null,
        });
    }

    private static async Task<IResult> InterruptAsync(HttpContext context, ImageJobs images, JobService jobs)
    {
        foreach (var job in await RunningAsync(context, images, jobs))
        {
            await jobs.CancelAsync(job.Id, context.RequestAborted);
        }

        return Json(new JsonObject());
    }

    private static async Task<IResult> SetOptionsAsync(HttpContext context, ImageJobs images, ImageBody body, A1111Settings settings)
    {
        string? name = null;
        var (_, unreadable) = await body.ReadAsync(context, json =>
        {
            name = json.ValueKind == JsonValueKind.Object && json.TryGetProperty("sd_model_checkpoint", out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
            return images;
        });
        if (unreadable is not null)
        {
            return Error(400, unreadable.Problem.Detail!, "send application/json");
        }

        if (name is not null)
        {
            if (images.Choose(name) is not { } model)
            {
                return Error(404, $"model '{name}' generates no pictures here", "GET /sdapi/v1/sd-models lists what does");
            }

            settings.Choose(context.Caller().Tenant, model.Name);
        }

        return Json(new JsonObject());
    }

    /// <summary>The caller's running generations, newest first.</summary>
    private static async Task<IReadOnlyList<JobRecord>> RunningAsync(HttpContext context, ImageJobs images, JobService jobs)
    {
        var names = images.Models.Select(m => m.Name).ToHashSet();
        var running = await jobs.ListAsync(new JobFilter(context.Caller().Tenant, State: JobState.Running), before: null, Limits.PageSize, context.RequestAborted);
        return [.. running.Where(j => names.Contains(j.Model))];
    }

    private static IResult Json(JsonNode body) => Results.Text(body.ToJsonString(), "application/json");

    private static IResult Error(int status, string error, string detail) => Results.Text(
        new JsonObject { ["error"] = "MyelinError", ["detail"] = detail, ["body"] = "", ["errors"] = error }.ToJsonString(), "application/json", statusCode: status);
}
