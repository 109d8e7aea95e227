using Myelin.Server.Bus;
using Myelin.Server.Configuration;
using Myelin.Server.Jobs;
using Myelin.Server.Web;
using Myelin.Server.Webhooks;

namespace Myelin.Server.Streams;

/// <summary>
/// One message of <see cref="Topics.JobsIn"/>: checked and accepted like <c>POST /v1/jobs</c>, answered on
/// <see cref="Topics.JobsOut"/>. It may come twice; its idempotency key (a header, else the message's key, else its place
/// in the topic) makes it one job.
/// </summary>
internal sealed partial class JobsTopicIntake(
    SubmissionCheck check, JobService jobs, AllowedModels allowed, IBus bus, MyelinOptions options, TimeProvider time, ILogger<JobsTopicIntake> logger)
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(5);

    /// <summary>Returns once the answer is delivered, however long that takes.</summary>
    public async Task TakeAsync(BusMessage message, CancellationToken cancellationToken)
    {
        while (true)
        {
            TimeSpan wait;
            try
            {
                var (answer, later) = await TryAsync(message, cancellationToken).ConfigureAwait(false);
                if (answer is not null && await bus.DeliverAsync(Topics.JobsOut, answer, cancellationToken).ConfigureAwait(false))
                {
                    return;
                }

                wait = later ?? s_again;
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                // Storage is away, or a bug: the message stays where it is, its lag shows.
                LogAgain(message.Origin ?? "", e);
                wait = s_longest;
            }

            await Task.Delay(wait < s_longest ? wait : s_longest, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask<(BusMessage? Answer, TimeSpan? Later)> TryAsync(BusMessage message, CancellationToken cancellationToken)
    {
        var key = message.Header(OpenMessage.IdempotencyKey) ?? (message.Key is { Length: > 0 } own ? own : null) ?? message.Origin;
        using var draft = new SubmissionDraft();
        if (Read(message, draft) is { } unreadable)
        {
            return (Answer(message, key, Problem.ContentType, OpenMessage.Json(unreadable)), null);
        }

        var (checkedDraft, refusal) = await check.CheckAsync(draft, options.OpenTopics.Tenant, key, cancellationToken).ConfigureAwait(false);
        if (refusal is not null)
        {
            return (Answer(message, key, Problem.ContentType, OpenMessage.Json(refusal.Problem)), null);
        }

        var submission = checkedDraft! with
        {
            IdempotencyKey = OpenJobs.KeyPrefix + key,
            Callback = checkedDraft!.Callback ?? new JobCallback(WebhookTarget.Bus),
            TraceParent = message.Header("traceparent"),
        };
        var result = await jobs.SubmitAsync(submission, cancellationToken).ConfigureAwait(false);
        switch (result.Status)
        {
            case SubmitStatus.Accepted:
                await bus.PublishSignalAsync(JobSignal.Of(result.Job!), cancellationToken).ConfigureAwait(false);
                return (Answer(message, key, "application/json", OpenMessage.Json(jobs.Describe(result.Job!, result.Position))), null);
            case SubmitStatus.Repeated:
                return (Answer(message, key, "application/json", OpenMessage.Json(jobs.Describe(result.Job!, position: null))), null);
            case SubmitStatus.IdempotencyMismatch:
                return (Answer(message, key, Problem.ContentType, OpenMessage.Json(SubmitProblems.Of(result, submission.Model).Problem)), null);
            default:
                return (null, result.RetryAfter ?? s_again);
        }
    }

    private Problem? Read(BusMessage message, SubmissionDraft draft)
    {
        if (message.Payload.Length > options.Input.MaxBytes)
        {
            return Problems.Of(ProblemTypes.TooLarge, $"the message has {message.Payload.Length} bytes; the limit is {options.Input.MaxBytes} (input.maxBytes)");
        }

        // Its own copy: base64 is decoded in place.
        return SubmissionJson.Parse(message.Payload.ToArray(), draft) ?? allowed.Refusal(draft.Model);
    }

    private static BusMessage Answer(BusMessage question, string? key, string contentType, byte[] payload) =>
        OpenMessage.Answer(question, Topics.JobsOut, contentType, payload, (OpenMessage.IdempotencyKey, key));

    [LoggerMessage(LogLevel.Warning, "The job at {Origin} cannot be taken yet; it is tried again")]
    private partial void LogAgain(string origin, Exception e);
}
