using System.Net;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;

namespace Myelin.Client;

/// <summary>
/// The API of a Myelin server, typed. Safe for concurrent use; owns nothing: the <see cref="HttpClient"/> stays the
/// caller's, with its <see cref="HttpClient.BaseAddress"/> at the server and, for long uploads, no overall timeout.
/// Every call throws <see cref="MyelinException"/> for a problem and <see cref="MyelinUnreachableException"/> when nobody answers.
/// </summary>
public sealed partial class MyelinClient(HttpClient http, MyelinClientOptions options)
{
    private readonly Transport _transport = new(http, options);

    public MyelinClient(HttpClient http)
        : this(http, new())
    {
    }

    public Uri Server => _transport.Server;

    /// <summary>Submits a job whose inputs are JSON. Repeats are safe: they carry one idempotency key.</summary>
    /// <param name="idempotencyKey">Null: a fresh one for this call.</param>
    public async Task<Job> SubmitAsync(JobRequest request, string? idempotencyKey, CancellationToken cancellationToken)
    {
        var key = idempotencyKey ?? NewKey();
        using var response = await _transport.SendAsync(
            () => Submit(JsonContent.Create(request, JsonContext.Default.JobRequest), key), static () => true, cancellationToken).ConfigureAwait(false);
        return await Transport.ReadAsync(response, JsonContext.Default.Job, cancellationToken).ConfigureAwait(false);
    }

    public Task<Job> SubmitAsync(JobRequest request, CancellationToken cancellationToken) => SubmitAsync(request, null, cancellationToken);

    /// <summary>Submits a job with file parts, streamed. Repeats are safe, and made only where every stream can seek.</summary>
    /// <param name="progress">Hears the bytes of the files that were sent; begins again with a repeat.</param>
    /// <param name="idempotencyKey">Null: a fresh one for this call.</param>
    public async Task<Job> SubmitAsync(
        JobSubmission submission, IProgress<TransferProgress>? progress, string? idempotencyKey, CancellationToken cancellationToken)
    {
        var key = idempotencyKey ?? NewKey();
        var body = new Submission(submission, progress);
        using var response = await _transport.SendAsync(
            () => Submit(body.Body(), key), () => body.CanRepeat, cancellationToken).ConfigureAwait(false);
        return await Transport.ReadAsync(response, JsonContext.Default.Job, cancellationToken).ConfigureAwait(false);
    }

    public Task<Job> SubmitAsync(JobSubmission submission, CancellationToken cancellationToken) =>
        SubmitAsync(submission, null, null, cancellationToken);

    public Task<Job> GetAsync(string id, CancellationToken cancellationToken) =>
        _transport.GetAsync(JobPath(id), JsonContext.Default.Job, cancellationToken);

    /// <summary>Long-polls until the job has ended, in whatever state.</summary>
    public async Task<Job> WaitAsync(string id, CancellationToken cancellationToken)
    {
        var slice = options.WaitSlice < Limits.Wait ? options.WaitSlice : Limits.Wait;
        var path = $"{JobPath(id)}?wait={(int)Math.Max(1, slice.TotalSeconds)}s";
        while (true)
        {
            var job = await _transport.GetAsync(path, JsonContext.Default.Job, cancellationToken).ConfigureAwait(false);
            if (job.State.IsEnd())
            {
                return job;
            }
        }
    }

    /// <summary>Asks for the end of a job: a queued one is cancelled at once, a running one within a second.</summary>
    /// <returns>The job after the call; a job that had already ended is returned as it is.</returns>
    public async Task<Job> CancelAsync(string id, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await _transport.SendAsync(
                () => new(HttpMethod.Delete, _transport.Resolve(JobPath(id))), static () => true, cancellationToken).ConfigureAwait(false);
            return await Transport.ReadAsync(response, JsonContext.Default.Job, cancellationToken).ConfigureAwait(false);
        }
        catch (MyelinException e) when (e.Status == HttpStatusCode.Conflict)
        {
            return await GetAsync(id, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Jobs, newest first, fetched page by page as they are read.</summary>
    public async IAsyncEnumerable<Job> ListAsync(JobQuery query, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string? cursor = null;
        do
        {
            var path = "v1/jobs" + Query(
                ("model", query.Model), ("state", query.State?.ToString().ToLowerInvariant()), ("cursor", cursor));
            var page = await _transport.GetAsync(path, JsonContext.Default.PageJob, cancellationToken).ConfigureAwait(false);
            foreach (var job in page.Data)
            {
                yield return job;
            }

            cursor = page.NextCursor;
        }
        while (cursor is not null);
    }

    private HttpRequestMessage Submit(HttpContent body, string key)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, _transport.Resolve("v1/jobs")) { Content = body };
        request.Headers.Add("Idempotency-Key", key);
        return request;
    }

    private static string NewKey() => Guid.CreateVersion7().ToString("N");

    private static string JobPath(string id) => "v1/jobs/" + Uri.EscapeDataString(id);

    private static string Query(params ReadOnlySpan<(string Name, string? Value)> parts)
    {
        var query = "";
        foreach (var (name, value) in parts)
        {
            if (value is not null)
            {
                query += $"{(query.Length == 0 ? '?' : '&')}{name}={Uri.EscapeDataString(value)}";
            }
        }

        return query;
    }
}
