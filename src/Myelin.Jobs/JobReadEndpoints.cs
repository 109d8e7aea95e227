using Microsoft.AspNetCore.Http.HttpResults;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;
using Myelin.Jobs.Store;

namespace Myelin.Jobs;

/// <summary>Reading, listing and cancelling jobs.</summary>
internal sealed class JobReadEndpoints(JobService jobs, IHostApplicationLifetime lifetime)
{
    private static readonly string s_notHere = "there is no such job; ids are in the answer of POST /v1/jobs and in the list";

    public async Task<Results<Reply<Job>, ProblemResult>> GetAsync(string id, HttpContext context)
    {
        if (!JobQuery.TryWait(context.Request, out var wait, out var refusal))
        {
            return refusal!;
        }

        if (await FindAsync(jobs, id, context) is not { } job)
        {
            return NotFound();
        }

        if (wait > TimeSpan.Zero && !job.State.IsEnd())
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, lifetime.ApplicationStopping);
            try
            {
                job = await jobs.WaitAsync(id, wait, either.Token) ?? job;
            }
            catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
            {
                // A shutdown ends the wait early; the job as it was is still an answer.
            }
        }

        return new Reply<Job>(await jobs.DescribeAsync(job, context.RequestAborted));
    }

    public async Task<Results<Reply<Page<Job>>, ProblemResult>> ListAsync(HttpContext context)
    {
        var request = context.Request;
        if (!JobQuery.TryLimit(request, out var limit, out var refusal)
            || !JobQuery.TryState(request, out var state, out refusal)
            || !JobQuery.TryModel(request, out var model, out refusal)
            || !JobQuery.TryCursor(request, out var before, out refusal))
        {
            return refusal!;
        }

        var filter = new JobFilter(context.Caller().Tenant, model, state);
        var records = await jobs.ListAsync(filter, before, limit, context.RequestAborted);
        var data = await jobs.DescribeAsync(records, context.RequestAborted);

        // A full page may be the last one; the next is then empty, which costs less than reading one more every time.
        return new Reply<Page<Job>>(new Page<Job>(data, records.Length == limit ? JobQuery.Cursor(records[^1].Id) : null));
    }

    public async Task<Results<Reply<Job>, ProblemResult>> CancelAsync(string id, HttpContext context)
    {
        if (await FindAsync(jobs, id, context) is null)
        {
            return NotFound();
        }

        var result = await jobs.CancelAsync(id, context.RequestAborted);
        return result.Status switch
        {
            CancelStatus.NotFound => NotFound(),
            CancelStatus.AlreadyEnded => new ProblemResult(ProblemTypes.AlreadyEnded, $"the job is {result.Job?.State.ToString().ToLowerInvariant()}; there is nothing left to cancel"),
            _ => new Reply<Job>(await jobs.DescribeAsync(result.Job!, context.RequestAborted)),
        };
    }

    public async Task<IResult> ResultAsync(string id, HttpContext context)
    {
        if (await FindAsync(jobs, id, context) is not { } job)
        {
            return NotFound();
        }

        return job switch
        {
            { Purged: true } => Purged(job),
            { State: JobState.Succeeded, Result: { } result } => TypedResults.Bytes(result, "application/json; charset=utf-8"),
            { State: JobState.Queued or JobState.Running } =>
                new ProblemResult(ProblemTypes.NotReady, $"the job is {job.State.ToString().ToLowerInvariant()}; wait with GET /v1/jobs/{id}?wait=30s or watch its events"),
            _ => new ProblemResult(
                ProblemTypes.NoResult, $"the job is {job.State.ToString().ToLowerInvariant()}{(job.Error?.Detail is { } why ? ": " + why : "")}"),
        };
    }

    /// <summary>The caller's job; null also for another tenant's.</summary>
    public static async ValueTask<JobRecord?> FindAsync(JobService jobs, string id, HttpContext context) =>
        await jobs.GetAsync(id, context.RequestAborted) is { } job && job.Tenant == context.Caller().Tenant ? job : null;

    public static ProblemResult NotFound() => new(ProblemTypes.NotFound, s_notHere);

    public static ProblemResult Purged(JobRecord job) =>
        new(ProblemTypes.Gone, $"result and artifacts were kept until {job.ExpiresAt:u}; submit the job again");
}
