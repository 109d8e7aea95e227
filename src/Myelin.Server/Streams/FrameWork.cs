using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks;
using Myelin.Server.Bus;
using Myelin.Server.Configuration;
using Myelin.Server.Jobs;
using Myelin.Server.Web;
using Myelin.Server.Workers;

namespace Myelin.Server.Streams;

/// <summary>
/// One frame: checked like a submission, through its model, its result and pictures published. Always answered, with a
/// result or a problem, on the topics of its stream; never thrown, so that no frame stands in another's way.
/// </summary>
internal sealed partial class FrameWork(
    SubmissionCheck check, AcquireTask acquire, AllowedModels allowed, IBus bus, FrameInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<FrameWork> logger)
{
    public async Task RunAsync(string stream, BusMessage frame, CancellationToken cancellationToken)
    {
        using var activity = JobInstruments.Activities.StartActivity("frame", ActivityKind.Consumer, frame.Header("traceparent"));
        var model = frame.Header(OpenMessage.Model) ?? (options.OpenTopics.Model.Length > 0 ? options.OpenTopics.Model : null);
        activity?.SetTag("myelin.model", model);
        Problem problem;
        try
        {
            if (await CheckAsync(frame, model, cancellationToken).ConfigureAwait(false) is { } refused)
            {
                problem = refused;
            }
            else
            {
                await AnswerAsync(stream, frame, model!, await InferAsync(frame, model!, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
                instruments.Ended(stream, FrameOutcome.Processed);
                return;
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            problem = ProblemOf(e, model!);
            LogFailed(frame.Origin ?? stream, e);
        }

        instruments.Ended(stream, problem.Status < 500 ? FrameOutcome.Refused : FrameOutcome.Failed);
        await PublishAsync(Topics.Results(stream), frame, model, Problem.ContentType, OpenMessage.Json(problem), null, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<Problem?> CheckAsync(BusMessage frame, string? model, CancellationToken cancellationToken)
    {
        if (allowed.Refusal(model) is { } forbidden)
        {
            return forbidden;
        }

        if (frame.Payload.Length > options.Input.MaxBytes)
        {
            return Problems.Of(ProblemTypes.TooLarge, $"the frame has {frame.Payload.Length} bytes; the limit is {options.Input.MaxBytes} (input.maxBytes)");
        }

        using var draft = new SubmissionDraft { Model = model, Parameters = Encoding.UTF8.GetBytes(frame.Header(OpenMessage.Parameters) ?? "") };
        draft.Parts.Add(new SubmissionPart("image", PartForm.Bytes, frame.Header(OpenMessage.ContentType), MemoryMarshal.AsMemory(frame.Payload)));
        var (_, refusal) = await check.CheckAsync(draft, options.OpenTopics.Tenant, idempotencyKey: null, cancellationToken).ConfigureAwait(false);
        return refusal?.Problem;
    }

    private async Task<TaskResult> InferAsync(BusMessage frame, string model, CancellationToken cancellationToken)
    {
        using var lease = await acquire(model, cancellationToken).ConfigureAwait(false);
        using var parameters = JsonDocument.Parse(frame.Header(OpenMessage.Parameters) ?? "{}");
        var files = new Dictionary<string, TaskFile> { ["image"] = new(frame.Header(OpenMessage.ContentType) ?? "", frame.Payload) };
        return await lease.Task.RunAsync(new TaskInput(files, parameters.RootElement), new NoProgress(), cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask AnswerAsync(string stream, BusMessage frame, string model, TaskResult result, CancellationToken cancellationToken)
    {
        foreach (var picture in result.Artifacts)
        {
            await PublishAsync(Topics.Annotated(stream), frame, model, picture.ContentType, picture.Bytes, picture.Name, cancellationToken).ConfigureAwait(false);
        }

        await PublishAsync(Topics.Results(stream), frame, model, "application/json", result.Json, null, cancellationToken).ConfigureAwait(false);
        if (frame.Captured() is { } captured)
        {
            instruments.Answered(stream, time.GetUtcNow() - captured);
        }
    }

    private ValueTask PublishAsync(
        string topic, BusMessage frame, string? model, string contentType, ReadOnlyMemory<byte> payload, string? name, CancellationToken cancellationToken) =>
        bus.PublishAsync(
            topic,
            OpenMessage.Answer(
                frame, topic, contentType, payload,
                (OpenMessage.FrameId, frame.Header(OpenMessage.FrameId) ?? frame.Origin),
                (OpenMessage.CapturedAt, frame.Header(OpenMessage.CapturedAt)),
                (OpenMessage.Model, model),
                (OpenMessage.Name, name)),
            cancellationToken);

    private static Problem ProblemOf(Exception fault, string model) => fault switch
    {
        InputException input => JobProblems.InvalidInput(input),
        ModelException broken => JobProblems.ModelUnavailable(model, broken.Message),
        RuntimeException runtime => JobProblems.RuntimeFailed(runtime),
        _ => Problems.Of(ProblemTypes.Internal, "the frame failed; the server's log says why"),
    };

    [LoggerMessage(LogLevel.Debug, "Frame {Frame} failed")]
    private partial void LogFailed(string frame, Exception e);

    /// <summary>Nobody watches a frame.</summary>
    private sealed class NoProgress : IProgress<TaskProgress>
    {
        public void Report(TaskProgress value)
        {
        }
    }
}
