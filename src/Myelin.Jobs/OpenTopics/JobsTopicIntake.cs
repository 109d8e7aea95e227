using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Web;
using Myelin.Jobs.Webhooks;

namespace Myelin.Jobs.OpenTopics;

/// <summary>
/// One message of <see cref="Topics.JobsIn"/>: checked and accepted like <c>POST /v1/jobs</c>, answered on
/// <see cref="Topics.JobsOut"/>. It may come twice; its idempotency key (a header, else the message's key, else its place
/// in the topic) makes it one job.
/// </summary>
internal sealed partial class JobsTopicIntake(
    SubmissionCheck check,
    JobService jobs,
    AllowedModels allowed,
    IBus bus,
    StreamInstruments instruments,
    MyelinOptions options,
    TimeProvider time,
    ILogger<JobsTopicIntake> logger)
{
    /// <summary>A message that makes the server stumble this often is at fault itself.</summary>
    private const int Attempts = 5;

    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(5);

    /// <summary>Returns once the answer is delivered and the message done with, however long that takes.</summary>
    public async Task TakeAsync(BusMessage message, CancellationToken cancellationToken)
    {
        for (var faults = 0; ;)
        {
            TimeSpan wait;
            try
            {
                wait = await TryAsync(message, cancellationToken);
                if (wait == TimeSpan.Zero)
                {
                    message.Done();
                    return;
                }
            }
            catch (Exception e) when (e is StorageException or IOException)
            {
                // The message stays where it is, its lag shows.
                LogAgain(message.Origin ?? "", e);
                wait = s_longest;
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                LogAgain(message.Origin ?? "", e);
                wait = s_again;
                if (++faults == Attempts)
                {
                    instruments.Took(IntakeOutcome.Refused);
                    await DeliverAsync(message, Problems.Of(ProblemTypes.Internal, $"the message failed {Attempts} times and lies in {Topics.DeadLetters}; the server's log says why"), cancellationToken);
                    await bus.RejectAsync(message, $"failed {Attempts} times: {e.Message}", cancellationToken);
                    return;
                }
            }

            await Task.Delay(wait < s_longest ? wait : s_longest, time, cancellationToken);
        }
    }

    /// <returns>Zero once it is answered, else how long to wait.</returns>
    private async ValueTask<TimeSpan> TryAsync(BusMessage message, CancellationToken cancellationToken)
    {
        using var draft = new SubmissionDraft();
        if (Read(message, draft) is { } unreadable)
        {
            return await RefuseAsync(message, unreadable, cancellationToken);
        }

        var key = Key(message);
        var (checkedDraft, refusal) = await check.CheckAsync(draft, options.OpenTopics.Tenant, key is null ? null : IdempotencyKey.OfMessage(key), cancellationToken);
        if (refusal is not null)
        {
            return await RefuseAsync(message, refusal.Problem, cancellationToken);
        }

        var submission = checkedDraft! with
        {
            Callback = checkedDraft!.Callback ?? new JobCallback(WebhookTarget.Bus),
            TraceParent = message.Trace(),
        };
        var result = await jobs.SubmitAsync(submission, cancellationToken);
        switch (result.Status)
        {
            case SubmitStatus.Accepted:
                await bus.PublishSignalAsync(JobSignal.Of(result.Job!), cancellationToken);
                return await TellAsync(message, jobs.Describe(result.Job!, result.Position), IntakeOutcome.Accepted, cancellationToken);
            case SubmitStatus.Repeated:
                return await TellAsync(message, jobs.Describe(result.Job!, position: null), IntakeOutcome.Repeated, cancellationToken);
            case SubmitStatus.IdempotencyMismatch:
                var mismatch = Problems.Of(
                    ProblemTypes.IdempotencyMismatch,
                    $"job {result.Job!.Id} was submitted with the idempotency key '{key}' and another body; messages that share a Kafka key need an idempotency-key header each");
                return await RefuseAsync(message, mismatch, cancellationToken);
            default:
                instruments.Waits(result.Status);
                return result.RetryAfter is { } later && later > TimeSpan.Zero ? later : s_again;
        }
    }

    private Problem? Read(BusMessage message, SubmissionDraft draft)
    {
        if (message.LongHeader() is { } header)
        {
            return header;
        }

        if (message.Payload.Length > options.Input.MaxBytes)
        {
            return Problems.Of(ProblemTypes.TooLarge, $"the message has {message.Payload.Length} bytes; the limit is {options.Input.MaxBytes} (input.maxBytes)");
        }

        // Its own copy: base64 is decoded in place.
        return SubmissionJson.Parse(message.Payload.ToArray(), draft) ?? allowed.Refusal(draft.Model);
    }

    private async ValueTask<TimeSpan> RefuseAsync(BusMessage message, Problem problem, CancellationToken cancellationToken)
    {
        if (!await DeliverAsync(message, problem, cancellationToken))
        {
            return s_again;
        }

        instruments.Took(IntakeOutcome.Refused);
        return TimeSpan.Zero;
    }

    private async ValueTask<bool> DeliverAsync(BusMessage message, Problem problem, CancellationToken cancellationToken) =>
        await bus.DeliverAsync(Topics.JobsOut, Answer(message, Problem.ContentType, OpenMessage.Json(problem)), cancellationToken) != Delivery.Dropped;

    private async ValueTask<TimeSpan> TellAsync(BusMessage message, Job job, IntakeOutcome outcome, CancellationToken cancellationToken)
    {
        var answer = Answer(message, "application/json", default);
        if (await bus.TellAsync(job, answer.Key, answer.Headers!, cancellationToken) == Delivery.Dropped)
        {
            // Another attempt finds the job there.
            return s_again;
        }

        instruments.Took(outcome);
        return TimeSpan.Zero;
    }

    private static string? Key(BusMessage message) =>
        message.Header(OpenMessage.IdempotencyKey) ?? (message.Key is { Length: > 0 } own ? own : null) ?? message.Origin;

    private static BusMessage Answer(BusMessage question, string contentType, byte[]? payload) => OpenMessage.Answer(
        question, Topics.JobsOut, contentType, payload, (OpenMessage.IdempotencyKey, Key(question) is { Length: <= OpenMessage.HeaderLength } key ? key : question.Origin));

    [LoggerMessage(LogLevel.Warning, "The job at {Origin} cannot be taken yet; it is tried again")]
    private partial void LogAgain(string origin, Exception e);
}
