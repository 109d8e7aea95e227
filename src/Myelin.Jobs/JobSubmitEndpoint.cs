using Microsoft.AspNetCore.Http.HttpResults;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>
/// <c>POST /v1/jobs</c>: read, check, accept, and where asked wait for the end. A caller that leaves while it waits does
/// not want the answer any more (<see cref="JobService.LeaveAsync"/>), unless it said <c>keep=true</c>.
/// </summary>
internal sealed class JobSubmitEndpoint(SubmissionReader reader, SubmissionCheck check, JobService jobs, IHostApplicationLifetime lifetime)
{
    public async Task<Results<Reply<Job>, AcceptedReply<Job>, ProblemResult>> HandleAsync(HttpContext context)
    {
        var request = context.Request;
        if (!JobQuery.TryWait(request, out var wait, out var refusal))
        {
            return refusal!;
        }

        if (!IdempotencyKey.TryRead(request, out var idempotencyKey, out refusal))
        {
            return refusal!;
        }

        SubmitResult result;
        string model;
        var (draft, unreadable) = await reader.ReadAsync(request, context.RequestAborted);
        if (unreadable is not null)
        {
            return unreadable;
        }

        using (draft)
        {
            var caller = context.Caller();
            if (draft!.Priority == JobPriority.High && !caller.MayGoFirst)
            {
                return new ProblemResult(ProblemTypes.Forbidden, "priority high needs a key with the scope priority; leave priority out, or have one made: keys create --scopes infer,priority");
            }

            // Before any picture is looked at: a full queue is answered in microseconds.
            if (idempotencyKey is null && draft.Model is { } named && await jobs.RefuseUnseenAsync(caller.Tenant, named, context.RequestAborted) is { } unseen)
            {
                return SubmitProblems.Of(unseen, named);
            }

            var (submission, wrong) = await check.CheckAsync(draft, caller.Tenant, idempotencyKey, context.RequestAborted);
            if (wrong is not null)
            {
                return wrong;
            }

            model = submission!.Model;
            result = await jobs.SubmitAsync(submission, context.RequestAborted);
        }

        return result.Status switch
        {
            SubmitStatus.Accepted when wait > TimeSpan.Zero => await WaitAsync(context, result.Job!, wait),
            SubmitStatus.Accepted => Accepted(jobs.Describe(result.Job!, result.Position)),
            SubmitStatus.Repeated => await RepeatAsync(context, result.Job!, wait),
            _ => SubmitProblems.Of(result, model),
        };
    }

    private async Task<Results<Reply<Job>, AcceptedReply<Job>, ProblemResult>> WaitAsync(HttpContext context, JobRecord job, TimeSpan wait)
    {
        // A shutdown ends the wait, not the job: it goes on after the restart.
        using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, lifetime.ApplicationStopping);
        try
        {
            return Answer(await jobs.WaitAsync(job.Id, wait, either.Token) ?? job);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            return Accepted(jobs.Describe(job, position: null));
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested && context.Request.Query["keep"] is not ["true" or "1"])
        {
            await jobs.LeaveAsync(job);
            throw;
        }
    }

    private async Task<Results<Reply<Job>, AcceptedReply<Job>, ProblemResult>> RepeatAsync(HttpContext context, JobRecord job, TimeSpan wait)
    {
        context.Response.Headers["Idempotency-Replayed"] = "true";
        return wait <= TimeSpan.Zero || job.State.IsEnd() ? Answer(job) : await WaitAsync(context, job, wait);
    }

    private Results<Reply<Job>, AcceptedReply<Job>, ProblemResult> Answer(JobRecord job) =>
        job.State.IsEnd() ? new Reply<Job>(jobs.Describe(job, position: null)) : Accepted(jobs.Describe(job, position: null));

    private static AcceptedReply<Job> Accepted(Job job) => new(job, $"/v1/jobs/{job.Id}");
}
