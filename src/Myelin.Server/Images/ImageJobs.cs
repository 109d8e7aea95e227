using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Serving.Models;

namespace Myelin.Server.Images;

/// <summary>
/// What the compatible endpoints share: choose the model, check the parameters, submit an ordinary text-to-image job,
/// see it through, hand out its pictures. There is no second queue and no second truth.
/// </summary>
internal sealed class ImageJobs(ModelDirectory models, SubmissionCheck check, JobService jobs, ModelLoader loader, IHostApplicationLifetime lifetime)
{
    public IEnumerable<ModelEntry> Models => models.List().Where(m => m.Task == TaskNames.TextToImage && m.State != ModelState.Broken);

    /// <summary>The model by name, or the first one when the caller names none.</summary>
    public ModelEntry? Choose(string? name) => string.IsNullOrEmpty(name) ? Models.FirstOrDefault() : Models.FirstOrDefault(m => m.Name == name);

    /// <summary>Checks and submits. Exactly one of the two results is there.</summary>
    /// <param name="context">The request; an <c>Idempotency-Key</c> of its makes a repeat answer with the first job.</param>
    /// <param name="model">Chosen before.</param>
    /// <param name="parameters">Of the job.</param>
    /// <param name="pictures">Its files.</param>
    /// <param name="own">The key that the API itself has for this; wins over the header.</param>
    public async Task<(JobRecord? Job, ProblemResult? Problem)> SubmitAsync(
        HttpContext context, ModelEntry model, JsonObject parameters, IReadOnlyList<SubmissionPart> pictures, IdempotencyKey? own)
    {
        if (!IdempotencyKey.TryRead(context.Request, out var header, out var wrong))
        {
            return (null, wrong);
        }

        Fit(model.Contract!, parameters);
        using var draft = new SubmissionDraft { Model = model.Name, Parameters = JsonSerializer.SerializeToUtf8Bytes(parameters, JsonContext.Default.JsonObject) };
        draft.Parts.AddRange(pictures);
        var (submission, refusal) = await check.CheckAsync(draft, context.Caller().Tenant, own ?? header, context.RequestAborted);
        if (refusal is not null)
        {
            return (null, refusal);
        }

        var result = await jobs.SubmitAsync(submission!, context.RequestAborted);
        if (result.Status == SubmitStatus.Repeated)
        {
            context.Response.Headers["Idempotency-Replayed"] = "true";
        }

        return result.Status is SubmitStatus.Accepted or SubmitStatus.Repeated
            ? (result.Job, null)
            : (null, SubmitProblems.Of(result, model.Name));
    }

    /// <summary>
    /// Waits for the end of the job. A caller that leaves may cancel it (<see cref="JobService.LeaveAsync"/>). A shutdown
    /// ends the wait, not the job: null.
    /// </summary>
    public async Task<JobRecord?> WaitAsync(JobRecord job, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, lifetime.ApplicationStopping);
        try
        {
            while (await jobs.WaitAsync(job.Id, Limits.Wait, either.Token) is { } now)
            {
                if (now.State.IsEnd())
                {
                    return now;
                }
            }

            throw new InvalidOperationException($"job {job.Id} was deleted while it was waited for");
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            return null;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            await jobs.LeaveAsync(job);
            throw;
        }
    }

    /// <summary>The pictures of a finished job in order, as PNG, with the seed of each.</summary>
    public async Task<IReadOnlyList<GeneratedImage>> ImagesAsync(JobRecord job, CancellationToken cancellationToken)
    {
        using var result = JsonDocument.Parse(job.Result!.Value);
        var images = new List<GeneratedImage>();
        foreach (var image in result.RootElement.GetProperty("images").EnumerateArray())
        {
            var name = image.GetProperty("artifact").GetString()!;
            if (await jobs.OpenArtifactAsync(job, name, cancellationToken) is not { } artifact)
            {
                continue;
            }

            await using var content = artifact.Content;
            var bytes = new byte[content.Length];
            await content.ReadExactlyAsync(bytes, cancellationToken);
            images.Add(new GeneratedImage(name, image.GetProperty("seed").GetInt64(), bytes));
        }

        return images;
    }

    /// <summary>The problem of a wait that a shutdown ended.</summary>
    public static ProblemResult Stopping(string id) => new(
        Problems.Of(ProblemTypes.ShuttingDown, $"the server is going down; job {id} goes on after the restart: GET /v1/jobs/{id}"), TimeSpan.FromSeconds(5));

    /// <summary>What the caller should know of a finished job's pictures, such as that they were enlarged; null for nothing.</summary>
    public static string? Notice(JobRecord job)
    {
        using var result = JsonDocument.Parse(job.Result!.Value);
        return result.RootElement.TryGetProperty("notice", out var notice) ? notice.GetString() : null;
    }

    /// <summary>
    /// Clients of these APIs ask for the sizes of large networks unless told otherwise. What is beyond this one's becomes
    /// the size to hand out: the network makes its own, and the picture is enlarged. All else is the contract's to refuse.
    /// </summary>
    private static void Fit(TaskContract contract, JsonObject parameters)
    {
        var (width, height) = (Side("width"), Side("height"));
        if ((width.IsBeyond || height.IsBeyond) && contract.Parameters.Any(p => p.Name == "outputWidth"))
        {
            (parameters["outputWidth"], parameters["outputHeight"]) = (width.Asked, height.Asked);
            parameters.Remove("width");
            parameters.Remove("height");
        }

        (JsonNode? Asked, bool IsBeyond) Side(string name)
        {
            var spec = contract.Parameters.FirstOrDefault(p => p.Name == name);
            var given = parameters[name];
            return given?.GetValueKind() == JsonValueKind.Number
                ? (given.DeepClone(), double.Parse(given.ToJsonString(), CultureInfo.InvariantCulture) > spec?.Maximum)
                : (spec?.Default is { } otherwise ? JsonNode.Parse(otherwise.GetRawText()) : null, false);
        }
    }

    /// <summary>A base64 picture, with or without a <c>data:</c> prefix; null with the cure when it is none. Its header is checked with the submission.</summary>
    public SubmissionPart? Picture(string part, string base64, out string? wrong)
    {
        var comma = base64.StartsWith("data:", StringComparison.Ordinal) ? base64.IndexOf(',', StringComparison.Ordinal) + 1 : 0;
        var bytes = new byte[(base64.Length - comma) / 4 * 3 + 3];
        if (!Convert.TryFromBase64Chars(base64.AsSpan(comma), bytes, out var length))
        {
            wrong = "must be a picture as base64";
            return null;
        }

        try
        {
            var format = PictureHeader.CheckBytes(bytes.AsSpan(0, length), loader.Limits, part);
            wrong = null;
            return new SubmissionPart(part, PartForm.Bytes, format.ContentType(), bytes.AsMemory(0, length));
        }
        catch (InputException e)
        {
            wrong = e.Message;
            return null;
        }
    }
}

/// <param name="Artifact">Name of the job's artifact.</param>
/// <param name="Seed">Gives the same picture again.</param>
/// <param name="Png">The file, parameters in its text chunk.</param>
internal sealed record GeneratedImage(string Artifact, long Seed, ReadOnlyMemory<byte> Png);
