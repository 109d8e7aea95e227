using Microsoft.Net.Http.Headers;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>
/// Bytes of jobs. They came from callers or models, so a browser may show pictures of them and must run nothing: no
/// sniffing, a sandbox, and a download for everything that is not known to be harmless.
/// </summary>
internal sealed class JobArtifactEndpoint(JobService jobs)
{
    private static readonly string[] s_shown = ["image/jpeg", "image/png", "image/webp", "image/avif", "image/gif", "application/json", "text/plain"];

    public async Task<IResult> HandleAsync(string id, string name, HttpContext context)
    {
        if (await JobReadEndpoints.FindAsync(jobs, id, context) is not { } job)
        {
            return JobReadEndpoints.NotFound();
        }

        if (job.Purged)
        {
            return JobReadEndpoints.Purged(job);
        }

        if (context.Request.Query["redirect"] == "true" && jobs.LinkArtifact(job, name, blob => Disposition(blob.ContentType, name)) is { } link)
        {
            context.Response.Headers.CacheControl = "no-store";
            return TypedResults.Redirect(link.AbsoluteUri, permanent: false, preserveMethod: true);
        }

        if (await jobs.OpenArtifactAsync(job, name, context.RequestAborted) is not var (blob, content))
        {
            return new ProblemResult(ProblemTypes.NotFound, $"the job has no artifact of this name; its 'inputs' and 'artifacts' list their addresses");
        }

        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = SecurityHeaders.BlobPolicy;
        headers.CacheControl = "private, max-age=3600, immutable";
        headers.ContentDisposition = Disposition(blob.ContentType, name);
        return TypedResults.Stream(
            content, blob.ContentType, lastModified: job.EndedAt ?? job.CreatedAt, entityTag: new EntityTagHeaderValue($"\"{blob.Sha256}\""), enableRangeProcessing: true);
    }

    public async Task<IResult> PreviewAsync(string id, HttpContext context)
    {
        if (await JobReadEndpoints.FindAsync(jobs, id, context) is null)
        {
            return JobReadEndpoints.NotFound();
        }

        if (jobs.FindPreview(id) is not { } jpeg)
        {
            return new ProblemResult(ProblemTypes.NotFound, "the job has no preview now; only running jobs of some models do");
        }

        context.Response.Headers.ContentSecurityPolicy = SecurityHeaders.BlobPolicy;
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Bytes(jpeg, "image/jpeg");
    }

    private static string Disposition(string contentType, string name)
    {
        var disposition = new ContentDispositionHeaderValue(s_shown.Contains(contentType) ? "inline" : "attachment");
        disposition.SetHttpFileName(name);
        return disposition.ToString();
    }
}
